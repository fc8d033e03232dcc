// What is shown now, and what the person does: the slider, keys, clicks, the theme, and news of a run that goes on.

const view = { at: lastState(), base: null, event: null, selected: null, more: false, zoom: null, playing: null, sorted: null, smoothing: 0, powers: false, folded: false };
const still = matchMedia("(prefers-reduced-motion: reduce)");
const baseOf = (at) => (view.base === null ? Math.max(0, at - 1) : Math.min(view.base, lastState()));
const shownEvent = () => (view.event === null ? eventOf(view.at) : data.events[view.event]);
const fill = (id, content) => $(id).replaceChildren(...[content].flat(9).filter((each) => each));

// The network with each block as one node, or all of it.
function chooseGraph() {
  data.whole = data.whole || data.graph;
  view.folded = view.folded && Boolean(data.folded);
  data.graph = view.folded ? data.folded : data.whole;
  $("fold").hidden = !data.folded;
  $("fold").setAttribute("aria-pressed", String(view.folded));
}
function toggleFolded() {
  view.folded = !view.folded;
  view.selected = null;
  chooseGraph();
  build();
  show();
}

function build() {
  document.title = `${data.name} · growth`;
  fill("name", name(data.name));
  $("slider").max = lastState();
  fill("base", [html("option", { value: "" }, "the step before"), data.states.map((_, at) => html("option", { value: at }, stateName(at)))]);
  $("base").value = view.base === null ? "" : String(view.base);
  fill("names", data.graph.nodes.filter((node) => node.what === "node").map((node) => html("option", { value: node.name })));
  fill("sheet", makeDrawing(select));
  if (map) map.root.remove();
  $("table").append(makeMap());
  $("network").classList.toggle("wide", parts.width > 1.5 * parts.height);
  document.body.classList.toggle("ribbon", parts.width > 1.5 * parts.height);
  stop = null;
  rescale();
  fill("steps", stepsPanel(showEvent));
  tellRun();
}

function tellRun() {
  $("lead").textContent = leadWords();
  $("torn").hidden = !data.torn;
  fill("summary", summaryFacts());
  fill("sizes", sizesPanel(showSize));
  makePlots();
}

// One epoch pointed at in one plot is pointed at in all; where none is, it is that of the step shown.
function pointAt(epoch) {
  const event = eventOf(view.at);
  plots.forEach((plot) => plot.point(known(epoch) || !event ? epoch : event.epoch));
}

function markHere() {
  document.querySelectorAll("#plots .here, #sizes .here").forEach((mark) => mark.classList.remove("here"));
  const here = data.states[view.at].event;
  if (here !== null) document.querySelectorAll(`#plots [data-event="${here}"], #sizes [data-event="${here}"]`).forEach((mark) => mark.classList.add("here"));
}

function show(options) {
  keepingFocus(() => showAll(options || {}));
}

function showAll({ scroll = true }) {
  const at = view.at, from = baseOf(at), event = shownEvent(), difference = compare(from, at);
  $("slider").value = at;
  $("slider").setAttribute("aria-valuetext", `${stateName(at)} of ${lastState()}${eventOf(at) ? `: ${eventOf(at).words}` : ""}`);
  fill("at", [html("b", {}, eventOf(at) ? `Step ${eventOf(at).step} of ${lastState()}` : `Beginning of ${amount(lastState(), "step")}`),
    eventOf(at) ? [` · epoch ${eventOf(at).epoch}`] : null]);
  $("first").disabled = $("back").disabled = at === 0;
  $("last").disabled = $("next").disabled = at === lastState();
  $("drawing").setAttribute("aria-label", `the network at ${stateName(at)}`);
  showState(at, difference);
  showSelected(view.selected);
  showMap();
  pointAt(null);
  document.body.classList.toggle("final", at === lastState());
  fill("decision", decisionPanel(event, at));
  fill("candidates", candidatesPanel(event, { more: view.more, sorted: view.sorted }, { onMore: showMore, onSort: sortBy, onTarget: selectTarget }));
  fill("difference", differencePanel(difference, select));
  fill("spec", specPanel(from, at, copySpec));
  showSelection();
  markHere();
  if (scroll) {
    const changed = difference.nodes.map((node) => parts.nodes[node.index]).filter((part) => part.there);
    if (changed.length) reveal(changed);
  }
  followMap();
  markStep(event ? data.events.indexOf(event) : null);
  keepPlace();
}

// What was unfolded stays unfolded.
function showSelection() {
  const before = $("selection").querySelector("details"), open = Boolean(before && before.open);
  fill("selection", selectionPanel(view.selected, view.at, select));
  const after = $("selection").querySelector("details");
  if (after) after.open = open;
}

function showMore() {
  view.more = !view.more;
  show({ scroll: false });
  if ($("more")) $("more").focus();
}

// The first choice of a column sorts by it, the second one the other way round, the third one not at all.
function sortBy(column) {
  const same = view.sorted && view.sorted.column === column;
  view.sorted = same && view.sorted.down !== column.down ? null : { column, down: same ? !column.down : column.down };
  show({ scroll: false });
}

function goTo(at, { byHand = true } = {}) {
  view.at = Math.min(lastState(), Math.max(0, at));
  view.event = null;
  if (byHand && $("follow")) $("follow").checked = view.at === lastState() && $("follow").checked;
  show();
}

const showSize = (step) => { stopPlaying(); goTo(step); };

// An event that changed nothing is shown at the state that it left as it was.
function showEvent(index) {
  const state = stateOf(index);
  if (state >= 0) { stopPlaying(); goTo(state); return; }
  const before = data.events.slice(0, index).filter((event) => event.kind !== null).length;
  goTo(before);
  view.event = index;
  show();
}

function select(what, index) {
  const same = view.selected && view.selected.what === what && view.selected.index === index;
  view.selected = same ? null : { what, index };
  showSelected(view.selected);
  showMap();
  showSelection();
  const chosen = view.selected && parts[what][index];
  if (chosen && chosen.there) { keepOneStop(chosen); reveal([chosen]); }
  keepPlace();
}

// The target of a candidate: a node, or the node or edge that was made of it, or else where it would begin.
function selectTarget(target) {
  const [first] = target.split("->");
  const edge = data.graph.edges.findIndex((each) => each.name === target);
  const holds = (each) => each.what === "node" && (each.name === first || (view.folded && first.startsWith(`${each.name}.`)));
  const node = data.graph.nodes.findIndex(holds);
  view.selected = null;
  if (edge >= 0) select("edges", edge);
  else if (node >= 0) select("nodes", node);
}

// A node by its name, or by the beginning or a part of it.
function find() {
  const wanted = $("find").value.trim().toLowerCase();
  if (!wanted) return;
  const tests = [(text) => text === wanted, (text) => text.startsWith(wanted), (text) => text.includes(wanted)];
  for (const fits of tests) {
    const index = data.graph.nodes.findIndex((node, at) => node.what === "node" && nodeAt(at, view.at) && fits(node.name.toLowerCase()));
    if (index < 0) continue;
    view.selected = null;
    select("nodes", index);
    return;
  }
}

function zoom(factor) {
  const used = view.zoom === "fit" || view.zoom === null ? scaleDrawing(view.zoom) : view.zoom;
  view.zoom = Math.min(4, Math.max(0.05, used * factor));
  rescale();
}
function rescale() {
  const used = scaleDrawing(view.zoom);
  $("whole").setAttribute("aria-pressed", String(view.zoom === "fit"));
  followMap();
  $("scale").textContent = `${Math.round(used * 100)}${THIN}%`;
}

function start() {
  theme();
  view.folded = /[#&]folded=1/.test(location.hash);
  chooseGraph();
  takePlace();
  listenToTools();
  fill("glossary", termsPanel());
  $("slider").addEventListener("input", () => { stopPlaying(); goTo(Number($("slider").value)); });
  const step = { first: () => 0, back: () => view.at - 1, next: () => view.at + 1, last: lastState };
  for (const [id, to] of Object.entries(step)) $(id).addEventListener("click", () => { stopPlaying(); goTo(to()); });
  $("play").addEventListener("click", play);
  $("base").addEventListener("change", () => { view.base = $("base").value === "" ? null : Number($("base").value); show(); });
  $("find").addEventListener("change", find);
  $("fold").addEventListener("click", toggleFolded);
  $("closer").addEventListener("click", () => zoom(1.25));
  $("farther").addEventListener("click", () => zoom(0.8));
  $("whole").addEventListener("click", () => { view.zoom = view.zoom === "fit" ? null : "fit"; rescale(); });
  addEventListener("resize", rescale);
  $("sheet").addEventListener("scroll", followMap, { passive: true });
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
    const target = event.target;
    if (target.closest("input, select, textarea")) return;
    const region = target.closest(".scroll");
    const scrolls = region && region.id !== "sheet" && region.scrollWidth > region.clientWidth;
    if (event.key === "Escape" && view.selected) { select(view.selected.what, view.selected.index); return; }
    if (scrolls || (event.key !== "ArrowLeft" && event.key !== "ArrowRight")) return;
    event.preventDefault();
    stopPlaying();
    goTo(view.at + (event.key === "ArrowRight" ? 1 : -1));
  });
  build();
  show();
  document.body.classList.add("ready");
  if (data.live) { $("following").hidden = false; listen(); }
}
start();
