// What is told in words and tables: the decision of a step, what is selected, what differs, the spec.

const facts = (pairs) => html("dl", {}, pairs.filter(Boolean).map(([word, value, more, look]) =>
  html("div", {}, html("dt", {}, explained(word)), html("dd", {}, value, more ? [" ", html("span", { class: look || "aside" }, more)] : null))));
const judged = (better) => (better ? "better" : "worse");
const cell = (text, kind) => html("td", kind ? { class: kind } : {}, text);
const head = (...columns) => html("thead", {}, html("tr", {}, columns.map(([text, kind]) =>
  html("th", { scope: "col", class: kind || null }, explained(text)))));
function scrolling(label, table) {
  return html("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label }, table);
}

function leadWords() {
  const first = data.states[0].parameters, last = data.states[lastState()].parameters, epochs = data.epochs.epoch.length;
  const steps = lastState();
  if (!steps) return `${count(first)} parameters; no growth step was applied in ${amount(epochs, "epoch")}.`;
  return `${last >= first ? "Grown" : "Pruned"} in ${amount(steps, "step")} from ${count(first)} to ${count(last)} parameters over ${amount(epochs, "epoch")}.`;
}

function summaryFacts() {
  const results = data.results || {}, told = (part, key) => (results[part] ? results[part][key] : null);
  const last = (column) => { const values = data.epochs[column]; return values && values.length ? values[values.length - 1] : null; };
  const measured = Object.keys(data.epochs).filter((key) => key.startsWith("validation.")).map((key) => key.slice(11));
  const metrics = [...new Set([...measured, ...Object.keys(results.test || {})])];
  const measure = (part, metric) => (results[part] ? told(part, metric) : part === "test" ? null : last(`${part}.${metric}`));
  const parts = ["train", "validation", "test"].filter((part) => metrics.some((metric) => known(measure(part, metric))));
  const shares = ["accuracy", "balanced_accuracy", "majority_rate"];  // in percent, as in the terminal
  const text = (metric, value) => (shares.includes(metric) && known(value) ? `${(100 * value).toFixed(2)} %` : real(value, 4));
  return [
    facts([
      ["parameters", count(data.states[lastState()].parameters)],
      ["multiply-adds", count(data.states[lastState()].madds)],
      ["growth steps", `${lastState()}${data.events.length > lastState() ? ` of ${data.events.length} tried` : ""}`],
      ["seed", String(data.seed)],
      ["growth ended because", results.reason || "not finished"],
      known(results.threshold) && ["threshold, tuned", real(results.threshold, 3)],
    ]),
    parts.length ? scrolling("measures", html("table", { class: "small" },
      head(["measure"], ...parts.map((part) => [part, "n"])),
      html("tbody", {}, metrics.map((metric) => html("tr", {}, html("th", { scope: "row" }, metric.replace(/_/g, " ")),
        parts.map((part) => cell(text(metric, measure(part, metric)), "n"))))))) : null,
    results.matrix ? confusionTable(results.matrix) : null,
    ...(results.notes || []).map((note) => html("p", { class: "note" }, note)),
  ];
}

// How often each true class, a row, was taken for each class, a column.
function confusionTable({ part, classes, counts }) {
  return scrolling("confusion matrix", html("table", { class: "small" },
    html("caption", {}, `${part}: true classes in rows, predicted ones in columns`),
    html("thead", {}, html("tr", {}, html("th", { scope: "col" }), classes.map((each) => html("th", { scope: "col", class: "n" }, name(each))))),
    html("tbody", {}, counts.map((row, place) => html("tr", {}, html("th", { scope: "row" }, name(classes[place])),
      row.map((value, column) => cell(column === place ? html("b", {}, count(value)) : count(value), "n")))))));
}

// The decision of an event: what was done, what it promised and brought, and why.
function decisionPanel(event, at) {
  if (!event) return [html("h2", {}, "Before any growth"), facts([
    ["parameters", count(data.states[at].parameters)], ["multiply-adds", count(data.states[at].madds)]])];
  const applied = event.kind !== null, promised = promiseOf(event);
  const realised = known(event.before) && known(event.after) ? event.before - event.after : null;
  const rows = candidatesOf(event), chosen = rows.find((row) => row.chosen);
  const measured = rows.filter((row) => row.rank);
  const ranked = chosen && chosen.rank ? `${chosen.rank} of ${measured.length} that were measured` : null;
  const state = applied ? stateOf(data.events.indexOf(event)) : at;
  const before = state > 0 && applied ? data.states[state - 1] : data.states[state];
  return [
    html("h2", {}, applied ? `Step ${event.step}: ` : `Epoch ${event.epoch}: `, name(event.words)),
    html("p", { class: "why" }, html("b", {}, applied ? "Why: " : "Why not: "), name(event.reason || "no reason is told")),
    applied ? facts([
      ["epoch", String(event.epoch)],
      event.random > 0 && ["neurons", count(event.neurons), isRandom(event) ? "random, not solved" : `the last ${event.random} random, not solved`],
      ...(isRandom(event) ? [] : [["slope", real(event.slope)], ["γ", real(event.gamma)], known(promised) && ["promised, slope × γ", real(promised)]]),
      ["realised", real(realised), known(promised) && promised > 0 && known(realised) ? `${percent(realised / promised)} of it` : "", judged(realised > 0)],
      ["held-out loss", change(event.before, event.after), share(event.before, event.after), judged(event.after <= event.before)],
      ["parameters", `${count(before.parameters)} → ${count(data.states[state].parameters)}`, share(before.parameters, data.states[state].parameters)],
      ["multiply-adds", `${count(before.madds)} → ${count(data.states[state].madds)}`, share(before.madds, data.states[state].madds)],
      ranked && ["rank", ranked],
      chosen && chosen.solver && ["solved by", chosen.solver],
    ]) : facts([["held-out loss", real(event.before)]]),
    chosen && chosen.inexact ? html("p", { class: "note" }, "The slope may be off: ", name(chosen.inexact)) : null,
  ];
}

// Why it was left out, or what is out of the ordinary about it.
const remark = (row) => row.reason || [row.inexact && `may be off: ${row.inexact}`, row.note].filter(Boolean).join("; ");

// What became of a candidate of a step, beside its name.
const tagOf = (row) => (row.chosen ? html("b", { class: "tag" }, "chosen")
  : row.replaced ? html("span", { class: "tag quiet" }, "not applied: random ones instead") : null);

const SHOWN_FIRST = 12;

// The columns of the table of candidates: what is sorted by, and whether the greatest comes first.
const COLUMNS = [
  { title: "rank", kind: "n", value: (row) => row.rank, down: false },
  { title: "candidate", value: (row) => `${kindWords(row.kind)} ${row.target}`, down: false },
  { title: "neurons", kind: "n", value: (row) => (row.reason ? null : row.neurons), down: true },
  { title: "slope", kind: "n", value: (row) => row.slope, down: true },
  { title: "predicted", kind: "n", value: (row) => row.predicted, down: true },
  { title: "parameters", kind: "n", value: (row) => (row.reason ? null : row.parameters), down: true },
  { title: "multiply-adds", kind: "n", value: (row) => (row.reason ? null : row.madds), down: true },
  { title: "remarks", value: (row) => remark(row) || null, down: false },
];

// Rows without a value come last, whichever way the others are sorted.
function sortedRows(rows, sorted) {
  if (!sorted) return rows;
  const { column: { value }, down } = sorted, order = new Intl.Collator("en", { numeric: true });
  const compared = (one, other) => (typeof one === "number" ? one - other : order.compare(one, other));
  return rows.slice().sort((one, other) => {
    const [a, b] = [value(one), value(other)];
    if (!known(a) || !known(b)) return Number(known(b)) - Number(known(a));
    return down ? compared(b, a) : compared(a, b);
  });
}

function sortableHead(sorted, onSort) {
  return html("thead", {}, html("tr", {}, COLUMNS.map((column) => {
    const here = sorted && sorted.column === column;
    return html("th", { scope: "col", class: column.kind || null, "aria-sort": here ? (sorted.down ? "descending" : "ascending") : null },
      html("button", { type: "button", class: "sort", title: meaningOf(column.title), click: () => onSort(column) },
        column.title, html("span", { "aria-hidden": "true" }, here ? (sorted.down ? " ↓" : " ↑") : "")));
  })));
}

function candidatesPanel(event, { more, sorted }, { onMore, onSort, onTarget }) {
  const title = html("h2", {}, "Candidates");
  if (!event || !event.candidates.length) return [title, html("p", { class: "quiet" }, event
    ? "None were considered: the decision above says why."
    : "This is the network before any growth. Each growth step lists here what it could have done.")];
  const rows = candidatesOf(event), top = Math.max(...rows.map((row) => row.slope || 0)) || 1;
  const inOrder = sortedRows(rows, sorted);
  const listed = more ? inOrder : inOrder.filter((row, index) => index < SHOWN_FIRST || row.isOfStep);
  const body = listed.map((row) => html("tr", { class: row.chosen ? "chosen" : row.reason ? "quiet" : null },
    cell(row.rank ? String(row.rank) : "", "n"),
    html("td", { class: "what" }, html("button", { type: "button", class: "link", click: () => onTarget(row.target) },
      `${kindWords(row.kind)} `, name(row.target)), tagOf(row)),
    cell(row.reason ? "–" : count(row.neurons), "n"),
    html("td", { class: "n slope" }, svg("svg", { viewBox: "0 0 40 8", width: 40, height: 8, "aria-hidden": "true" },
      svg("rect", { width: Math.max(0, 40 * (row.slope || 0) / top), height: 8 })), real(row.slope)),
    cell(real(row.predicted), "n"),
    cell(row.reason ? "–" : signed(row.parameters), "n"), cell(row.reason ? "–" : signed(row.madds), "n"),
    html("td", { class: "note-cell" }, name(remark(row)))));
  return [
    title,
    scrolling("candidates of this step", html("table", {}, sortableHead(sorted, onSort), html("tbody", {}, body))),
    listed.length < rows.length || more ? html("button", { type: "button", id: "more", click: onMore },
      more ? "Show the first ones" : `Show all ${count(rows.length)}, ${count(rows.filter((row) => row.rank).length)} of them measured`) : null,
    html("p", { class: "quiet" }, "Slope: the measured decrease of the loss per unit of γ. Predicted: the same by the statistics, before it was measured."),
  ];
}

function stepsPanel(pick) {
  const title = html("h2", {}, "Steps");
  if (!data.events.length) return [title, html("p", { class: "quiet" }, "No growth step was tried yet. The spec's `growth.when` says at which times growth is tried.")];
  const rows = data.events.map((event, index) => {
    const applied = event.kind !== null;
    return html("tr", {
      "data-event": index, class: applied ? null : "quiet",
      pointerenter: () => lightUp(index), pointerleave: () => lightUp(null), focusin: () => lightUp(index), focusout: () => lightUp(null),
    }, cell(applied ? String(event.step) : "–", "n"), cell(String(event.epoch), "n"),
    html("td", { class: "what" }, html("button", { type: "button", class: "link", click: () => pick(index) }, name(event.words))),
    cell(isRandom(event) ? "random" : real(event.slope), "n"), cell(applied && !isRandom(event) ? real(event.gamma) : "–", "n"),
    cell(applied ? change(event.before, event.after) : real(event.before), "n"),
    cell(applied ? signed(event.cost[0]) : "–", "n"), html("td", { class: "note-cell" }, name(event.reason)));
  });
  return [title, scrolling("growth steps", html("table", {}, head(["step", "n"], ["epoch", "n"], ["what"], ["slope", "n"], ["γ", "n"],
    ["held-out loss", "n"], ["parameters", "n"], ["why"]), html("tbody", {}, rows)))];
}

// Mark the row of a step among all, and scroll its table, not the page, to it.
function markStep(index) {
  document.querySelectorAll("#steps .here").forEach((row) => {
    row.classList.remove("here");
    row.querySelector("button").removeAttribute("aria-current");
  });
  const row = known(index) && document.querySelector(`#steps tr[data-event="${index}"]`);
  if (!row) return;
  row.classList.add("here");
  row.querySelector("button").setAttribute("aria-current", "step");
  const list = row.closest(".scroll"), [top, bottom] = [row.offsetTop, row.offsetTop + row.offsetHeight];
  if (top < list.scrollTop + 30 || bottom > list.scrollTop + list.clientHeight) list.scrollTop = top - list.clientHeight / 2;
}

// What is selected: a node or an edge, as it is at a state, and how it became so.
function selectionPanel(selected, at, select) {
  const title = (text) => html("h2", {}, text);
  if (!selected) return [title("Node or edge"), html("p", { class: "quiet" }, "Choose one in the drawing: by a click, or with Tab, the up and down arrows, and Enter.")];
  return selected.what === "nodes" ? nodePanel(selected.index, at) : edgePanel(selected.index, at, select);
}

function nodePanel(index, at) {
  const node = data.graph.nodes[index], state = nodeAt(index, at);
  const title = html("h2", {}, name(node.what === "output" && !(state || {}).named ? `output of ${node.name}` : node.name));
  if (!state) return [title, html("p", {}, "It is not there at this step."), ...figures([widthsPlot(node.states, at)])];
  const total = data.states[at].parameters, part = total ? percent(state.parameters / total) : "";
  const group = groupOf(state), given = optionsOf(state);
  const options = Object.entries(given).filter(([key, value]) => key !== "kind" && key !== "grow" && value !== null && value !== "identity");
  return [
    title,
    facts([
      ["kind", state.kind], ["output", shape(state.shape)],
      node.what === "node" && ["parameters", count(state.parameters), state.parameters ? `${part} of all` : ""],
      node.what === "node" && ["multiply-adds", count(state.madds)],
      group && group.length > 1 && ["grows together with", name(listWords(group.filter((each) => each !== node.name)))],
      ["since", sinceWords(node.states)],
    ]),
    group ? html("p", { class: "why" }, state.fixed ? [html("b", {}, "It does not grow: "), name(state.fixed)] : ["It may grow", given.grow && given.grow.max ? ` up to ${count(given.grow.max)} features.` : "."]) : null,
    options.length ? html("p", { class: "quiet options" }, name(options.map(([key, value]) => `${key}: ${shown(value)}`).join(" · "))) : null,
    node.what === "node" ? histogramsPart(node.name, at) : null,
    howItGrew(node.name, widthsPlot(node.states, at), slopesPart(group ? group[0] : node.name, node.name)),
  ];
}

function edgePanel(index, at, select) {
  const edge = data.graph.edges[index], state = edgeAt(index, at);
  const ends = edge.ends.map((end) => html("button", { type: "button", class: "link", click: () => select("nodes", end) },
    name(data.graph.nodes[end].what === "output" ? "output" : data.graph.nodes[end].name)));
  const group = (groupOf(nodeAt(edge.ends[0], at)) || [data.graph.nodes[edge.ends[0]].name])[0];
  return [
    html("h2", {}, name(edgeName(edge))),
    html("p", {}, "from ", ends[0], " to ", ends[1]),
    state ? facts([["carries", state.words], ["since", sinceWords(edge.states)]]) : html("p", {}, "It is not there at this step."),
    howItGrew(edgeName(edge), widthsPlot(data.graph.nodes[edge.ends[0]].states, at, edge.states),
      slopesPart(group, data.graph.nodes[edge.ends[0]].name)),
  ];
}

const listWords = (names) => (names.length > 6 ? `${names.slice(0, 5).join(", ")} and ${names.length - 5} more` : names.join(", "));
const figures = (plots) => plots.filter(Boolean).map((plot) => plot.figure);

// The curves of a node or edge, a button that saves them, and the table of its candidates.
function howItGrew(owner, widths, [slopes, table]) {
  const rows = [widths, slopes].filter(Boolean).flatMap((plot) => plot.rows);
  const save = () => saveCsv(`${owner}.csv`, [["curve", "across", "at", "value"], ...rows]);
  return [html("div", { class: "small-plots" }, figures([widths, slopes])),
    rows.length ? html("p", {}, html("button", { type: "button", id: "save-selected", click: save }, "Save these curves as CSV")) : null, table];
}

function sinceWords(states) {
  const first = states.find(([, state]) => state)[0];
  return first ? `step ${data.events[data.states[first].event].step}` : "the beginning";
}

// Features by step; `within` limits them to when an edge was there.
function widthsPlot(states, at, within) {
  const points = [];
  for (let step = 0; step <= lastState(); step += 1) {
    const state = then(states, step);
    if (state && (!within || then(within, step))) points.push([step, state.shape[0]]);
  }
  if (lastState() < 1) return null;
  const line = { name: "", role: "size", points, stairs: true, until: lastState() };
  const plot = linePlot({ box: SMALL, title: "features", across: "step", lines: [line], marks: [], fromZero: true, hover: (x) => plot && plot.point(x) });
  if (plot) plot.point(at);
  return plot;
}

// What widening it would have brought, and in the table pruning it too: slopes over the steps tried, the applied ones marked.
function slopesPart(target, own) {
  const rows = [];
  data.events.forEach((event) => {
    for (const row of candidatesOf(event)) {
      const touches = row.target === target && (row.kind === "widen" || row.kind === "prune");
      if (touches || row.target.split("->").includes(own)) rows.push({ event, row, touches });
    }
  });
  const own_ = rows.filter((each) => each.touches && each.row.kind === "widen" && known(each.row.slope));
  const points = own_.map(({ event, row }) => [placeOf(event), row.slope, row.chosen ? "chosen" : ""]);
  const plot = points.length ? linePlot({ box: SMALL, title: "slope of widening it", across: "epoch", marks: [], fromZero: true, powers: true, hover() {},
    lines: [{ name: "", role: "slope", points, dots: true }] }) : null;
  const listed = rows.filter((each) => each.touches || each.row.chosen);
  return [
    plot,
    listed.length ? html("details", {}, html("summary", {}, `${amount(listed.length, "time")} a candidate`),
      scrolling("when it was a candidate", html("table", {}, head(["epoch", "n"], ["candidate"], ["slope", "n"], ["predicted", "n"], ["solved by"], ["remarks"]),
        html("tbody", {}, listed.map(({ event, row }) => html("tr", { class: row.chosen ? "chosen" : row.reason ? "quiet" : null },
          cell(String(event.epoch), "n"), html("td", {}, `${kindWords(row.kind)} `, name(row.target), tagOf(row)),
          cell(real(row.slope), "n"), cell(real(row.predicted), "n"), html("td", {}, row.solver || ""),
          html("td", { class: "note-cell" }, name(remark(row)))))))) ) : null,
  ];
}

function stateName(at) {
  const event = eventOf(at);
  return event ? `step ${event.step}` : "the beginning";
}

function differencePanel(difference, select) {
  const { from, to, nodes, added, removed } = difference;
  const title = html("h2", {}, `What differs: ${stateName(from)} → ${stateName(to)}`);
  if (from === to || !(nodes.length || added.length || removed.length)) return [title, html("p", { class: "quiet" }, from === to ? "Nothing differs: the step is compared with itself. Choose another one to compare with above." : "Nothing differs between the two steps.")];
  const signs = { added: "+", removed: "−", changed: "~" };
  const one = data.states[from], other = data.states[to];
  const rows = nodes.map((node) => html("tr", { class: node.what },
    cell(signs[node.what], "sign"),
    html("td", { class: "what" }, html("button", { type: "button", class: "link", click: () => select("nodes", node.index) }, name(node.name))),
    cell(node.before && node.after && shape(node.before) !== shape(node.after) ? `${shape(node.before)} → ${shape(node.after)}` : shape(node.after || node.before)),
    html("td", { class: "note-cell" }, node.what === "changed" ? name(node.values.map(valueWords).join("; ") || "its input") : node.what),
    cell(node.parameters ? signed(node.parameters) : "0", "n"), cell(node.madds ? signed(node.madds) : "0", "n")));
  const edges = [...added.map((index) => ["+", index, "added"]), ...removed.map((index) => ["−", index, "removed"])];
  const edgeRows = edges.map(([sign, index, what]) => html("tr", { class: what }, cell(sign, "sign"),
    html("td", { class: "what", colspan: 5 }, html("button", { type: "button", class: "link", click: () => select("edges", index) }, "edge ", name(edgeName(data.graph.edges[index]))))));
  return [
    title,
    facts([["parameters", `${count(one.parameters)} → ${count(other.parameters)}`, share(one.parameters, other.parameters)],
      ["multiply-adds", `${count(one.madds)} → ${count(other.madds)}`, share(one.madds, other.madds)]]),
    scrolling("nodes and edges that differ", html("table", { id: "differences" }, head(["±", "sign"], ["node"], ["output"], ["what"], ["parameters", "n"], ["multiply-adds", "n"]),
      html("tbody", {}, rows, edgeRows))),
  ];
}

function specPanel(from, to, copy) {
  const rows = from === to ? specAt(to).map((text, index) => [" ", text, index + 1]) : lineDifference(specAt(from), specAt(to));
  if (rows.length && rows[rows.length - 1][1] === "") rows.pop();
  const kinds = { "+": "added", "−": "removed", " ": null };
  const marked = rows.filter(([sign]) => sign !== " ").length;
  return [
    html("h2", {}, "Spec"),
    html("p", { class: "quiet" }, from === to ? `At ${stateName(to)}.` : `At ${stateName(to)}; ${amount(marked, "line")} marked against ${stateName(from)}.`),
    html("button", { type: "button", id: "copy", click: copy }, "Copy as YAML"),
    html("span", { id: "copied", role: "status", class: "quiet" }),
    html("div", { class: "scroll code", tabindex: "0", role: "region", "aria-label": "lines of the spec" }, html("ol", { id: "lines" },
      rows.map(([sign, text, number]) => html("li", { class: kinds[sign], "data-line": number === null ? "" : number }, html("span", { class: "sign" }, sign), html("code", {}, text))))),
  ];
}
