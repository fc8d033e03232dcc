// The sizes of the network: held-out measures against parameters and multiply-adds, on a scale of powers of 10, and as a table.

const sizesOf = () => data.sizes.map(([step, epoch, parameters, madds, loss, accuracy, whole]) =>
  ({ step, epoch, parameters, madds, loss, accuracy, whole, event: data.states[step].event }));

function sizesPanel(pick) {
  const sizes = sizesOf(), title = html("h2", {}, "Sizes");
  if (!sizes.length) return [title, html("p", { class: "quiet" }, "The sizes are shown when the first epoch of training is over.")];
  const figures = ["loss", "accuracy"].flatMap((measure) =>
    [["parameters", "parameters"], ["madds", "multiply-adds"]].map(([cost, across]) => sizePlot(sizes, measure, cost, across, pick)));
  const accurate = sizes.some((size) => known(size.accuracy));
  const rows = sizes.map((size) => html("tr", { "data-event": size.event, pointerenter: () => lightUp(size.event), pointerleave: () => lightUp(null) },
    html("td", { class: "n" }, html("button", { type: "button", class: "link", click: () => pick(size.step) }, String(size.step))),
    cell(String(size.epoch), "n"), cell(count(size.parameters), "n"), cell(count(size.madds), "n"), cell(real(size.loss, 4), "n"),
    accurate ? cell(known(size.accuracy) ? percent(size.accuracy) : "–", "n") : null, cell(trainedWords(size, sizes))));
  return [
    title, html("div", { id: "against" }, figures),
    scrolling("sizes of the network", html("table", {}, head(["step", "n"], ["epoch", "n"], ["parameters", "n"], ["multiply-adds", "n"],
      ["held-out loss", "n"], ...(accurate ? [["accuracy", "n"]] : []), ["trained"]), html("tbody", {}, rows))),
    html("p", { class: "legend" }, "The held-out loss at the end of the training at each size. A ", explainedAs("full circle", "trained to the end"),
      " is a network that was trained to the end; an open one went on at another size, and would have a lower loss if it had not. ",
      html("code", {}, "gromo-graph pick"), " trains the smallest good one to the end."),
  ];
}

function trainedWords(size, sizes) {
  if (size.whole) return "to the end";
  return size === sizes[sizes.length - 1] ? "so far" : "until the next step";
}

// One measure against one cost, in the order of the steps: a network may come back to a size.
function sizePlot(sizes, measure, cost, across, pick) {
  const drawn = sizes.filter((size) => known(size[measure]) && size[cost] > 0);
  if (!drawn.length) return null;
  const xs = drawn.map((size) => size[cost]), values = drawn.map((size) => size[measure]);
  const room = greatest(xs) > 1.15 * least(xs) ? 1.15 : 2, low = least(xs) / room, high = greatest(xs) * room;
  const right = PLOT.width - 16, floor = PLOT.height - PLOT.bottom;
  const linear = scale(Math.log10(low), Math.log10(high), PLOT.left, right), x = (value) => place(linear(Math.log10(value)));
  const ticks = ticksOf(measure === "loss" ? Math.min(0, least(values)) : least(values), greatest(values));
  const height = scale(ticks[0], ticks[ticks.length - 1], floor, PLOT.top), y = (value) => place(height(value));
  const words = (size) => `step ${size.step}: ${count(size[cost])} ${across}, held-out ${measure} ${real(size[measure], 4)}, trained ${trainedWords(size, sizes)}`;
  const path = drawn.map((size, index) => `${index ? "L" : "M"}${x(size[cost])},${y(size[measure])}`).join("");
  const dots = drawn.map((size) => svg("g", {
    "data-event": size.event, class: "size", click: () => pick(size.step), pointerenter: () => lightUp(size.event), pointerleave: () => lightUp(null),
  }, svg("title", {}, words(size)), svg("circle", { class: "reach", cx: x(size[cost]), cy: y(size[measure]), r: 10 }),
  svg("circle", { class: size.whole ? "settled" : "open", cx: x(size[cost]), cy: y(size[measure]), r: 4 })));
  const title = `held-out ${measure} against ${across}`, [first, last] = [drawn[0], drawn[drawn.length - 1]];
  const root = svg("svg", { class: "plot", viewBox: `0 0 ${PLOT.width} ${PLOT.height}`, role: "img" },
    svg("title", {}, `${title}: from ${real(first[measure])} at ${count(first[cost])} to ${real(last[measure])} at ${count(last[cost])}`),
    ticks.map((tick) => [
      svg("line", { class: "grid", x1: PLOT.left, x2: right, y1: y(tick), y2: y(tick) }),
      svg("text", { class: "tick", "text-anchor": "end", x: PLOT.left - 6, y: y(tick) + 3.5 }, tickWords(tick)),
    ]),
    roundPowers(low, high).map((tick) => svg("text", { class: "tick", "text-anchor": "middle", x: x(tick), y: floor + 15 }, tick < 1e6 ? count(tick) : axisWords(tick))),
    svg("text", { class: "tick", "text-anchor": "middle", x: (PLOT.left + right) / 2, y: PLOT.height - 5 }, across),
    svg("g", { class: "curve validation dotted" }, svg("path", { d: path }), dots));
  return html("figure", { class: "plotted" }, html("figcaption", {}, html("b", {}, title)), root);
}

// Round numbers on a scale of powers of 10: 1, 2 and 5 times a power, fewer of them in a long range.
function roundPowers(low, high) {
  let inside = [];
  for (const factors of [[1, 2, 5], [1, 3], [1]]) {
    inside = [];
    for (let power = Math.max(0, Math.floor(Math.log10(low))); power <= Math.ceil(Math.log10(high)); power += 1) {
      inside.push(...factors.map((factor) => factor * 10 ** power).filter((tick) => tick >= low && tick <= high));
    }
    if (inside.length <= 6) break;
  }
  return inside.length > 1 ? inside : ticksOf(low, high).filter((tick) => Number.isInteger(tick) && tick >= low && tick <= high);
}
