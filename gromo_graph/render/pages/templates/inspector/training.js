// The curves of the run: which plots there are, how they are drawn (smoothed, on a scale of powers of 10), and all as CSV.

// An exponential moving average, corrected for its beginning as Adam's is; missing values stay missing.
function smoothed(points, weight) {
  let mean = 0, total = 0;
  return points.map(([x, value]) => {
    if (!known(value)) return [x, value];
    mean = weight * mean + (1 - weight) * value;
    total = weight * total + (1 - weight);
    return [x, mean / total];
  });
}

function makePlots() {
  const marks = data.events.map((event, index) => ({ x: placeOf(event), event: index, kind: event.kind, words: `step ${event.step}: ${event.words}` }))
    .filter((mark) => data.events[mark.event].kind !== null);
  const columns = data.epochs, column = (key) => columns.epoch.map((epoch, index) => [epoch, columns[key][index]]);
  const common = { across: "epoch", marks, hover: pointAt, pick: showEvent };
  const metrics = [...new Set(Object.keys(columns).filter((key) => key.includes(".")).map((key) => key.slice(key.indexOf(".") + 1)))];
  const lines = (metric) => ["train", "validation"].filter((part) => `${part}.${metric}` in columns)
    .map((part) => ({ name: part, role: part, points: smoothed(column(`${part}.${metric}`), view.smoothing) }));
  const size = (key) => [{ name: "", role: "size", stairs: true, points: columns.epoch.length ? sizesOver(key, column(key)) : [] }];
  const powers = view.powers ? "always" : null;
  plots = [
    ...metrics.map((metric) => linePlot({ ...common, title: metric.replace(/_/g, " "), lines: lines(metric), fromZero: metric === "loss", powers })),
    linePlot({ ...common, title: "parameters", lines: size("parameters"), fromZero: true, powers }),
    linePlot({ ...common, title: "multiply-adds", lines: size("madds"), fromZero: true, powers }),
    scatterPlot(promises(), showEvent),
  ].filter(Boolean);
  fill("plots", plots.length ? plots.map((plot) => plot.figure)
    : html("p", { class: "quiet" }, "The curves begin when the first epoch of training is over."));
  $("tools").hidden = !columns.epoch.length;
}

// A size before any growth, after each step whose place is known, and at the end of each epoch.
function sizesOver(key, ends) {
  const steps = data.states.map((state) => [state.event === null ? null : data.events[state.event].done, state[key]]);
  const all = new Map([[0, data.states[0][key]], ...steps.filter(([at]) => known(at)), ...ends]);
  return [...all].sort(([one], [other]) => one - other);
}

// The decrease of the loss that a step promised at first order; random neurons promise none, nor do steps that take neurons out.
const promiseOf = (event) => (event.kind !== null && event.kind !== "prune" && known(event.slope) && !isRandom(event) ? event.slope * event.gamma : null);

// What each growth step promised at first order, and what it brought.
function promises() {
  return data.events.map((event, index) => ({
    event: index, kind: event.kind, promised: promiseOf(event) || 0,
    realised: known(event.before) && known(event.after) ? event.before - event.after : 0,
    words: `step ${event.step}: ${event.words}; promised ${real(promiseOf(event))}, realised ${real(event.before - event.after)}`,
  })).filter((point) => point.kind !== null);
}

// A row for each epoch with every value of the curves, as they are recorded and not as they are drawn.
function curveRows() {
  const keys = Object.keys(data.epochs);
  const rows = data.epochs.epoch.map((_, index) => keys.map((key) => (known(data.epochs[key][index]) ? data.epochs[key][index] : "")));
  return [keys, ...rows];
}
const saveCurves = () => saveCsv("curves.csv", curveRows());
function saveCsv(file, rows) {
  const text = `${rows.map((row) => row.join(",")).join("\n")}\n`;
  const link = html("a", { download: file, href: `data:text/csv;charset=utf-8,${encodeURIComponent(text)}` });
  document.body.append(link);
  link.click();
  link.remove();
}

function listenToTools() {
  const again = () => { makePlots(); pointAt(null); markHere(); };
  $("smoothing").addEventListener("input", () => { view.smoothing = Number($("smoothing").value); again(); });
  $("powers").addEventListener("change", () => { view.powers = $("powers").checked; again(); });
  $("csv").addEventListener("click", saveCurves);
}
