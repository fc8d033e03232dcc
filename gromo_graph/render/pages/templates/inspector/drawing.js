// The network on the layout of all states: every part is made once, and each state shows what is there and how it is.

const CIRCLE = 26;
let parts = { nodes: [], edges: [], order: [] };

function makeDrawing(onSelect) {
  const [x, y, width, height] = data.graph.box;
  const pad = 14;
  const root = svg("svg", {
    id: "drawing", role: "group", viewBox: `${x - pad} ${y - pad} ${width + 2 * pad} ${height + 2 * pad}`,
  });
  parts = { nodes: [], edges: [], order: [], width: width + 2 * pad, height: height + 2 * pad };
  data.graph.edges.forEach((edge, index) => parts.edges.push(makeEdge(edge, index, onSelect)));
  data.graph.nodes.forEach((node, index) => parts.nodes.push(makeNode(node, index, onSelect)));
  root.append(...parts.edges.map((part) => part.group), ...parts.nodes.map((part) => part.group));
  // The keyboard walks from each node to the edges that leave it, along the data.
  const along = data.graph.direction === "right" ? 0 : 1;
  const sorted = data.graph.nodes.map((node, index) => index)
    .sort((one, other) => data.graph.nodes[one].place[along] - data.graph.nodes[other].place[along]);
  for (const index of sorted) {
    parts.order.push(parts.nodes[index]);
    data.graph.edges.forEach((edge, at) => { if (edge.ends[0] === index) parts.order.push(parts.edges[at]); });
  }
  return root;
}

function part(group, what, index, onSelect) {
  const found = { group, what, index };
  group.addEventListener("click", () => onSelect(what, index));
  group.addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === " ") { event.preventDefault(); onSelect(what, index); }
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      walk(found, event.key === "ArrowDown" ? 1 : -1);
    }
  });
  return found;
}

function makeNode(node, index, onSelect) {
  const [x, y, width, height] = node.place;
  const group = svg("g", { class: "node", role: "button", tabindex: "-1", "data-name": node.name, "data-what": node.what },
    svg("rect", { x: x - width / 2, y: y - height / 2, width, height, rx: node.what === "output" ? 0 : 7 }),
    svg("circle", { cx: x, cy: y, r: CIRCLE / 2 }),
    svg("text", { class: "symbol", x, y: y + 5.5, "text-anchor": "middle" }),
    svg("text", { class: "title", x: x - width / 2 + 9 }),
    svg("text", { class: "mark", x: x + width / 2 - 8, "text-anchor": "end" }),
    svg("text", { class: "words", x: x - width / 2 + 9 }),
    svg("text", { class: "badge", x: x - width / 2 + 9 }),
  );
  return part(group, "nodes", index, onSelect);
}

function makeEdge(edge, index, onSelect) {
  const [x, y] = edge.label || [0, 0];
  const group = svg("g", { class: "edge", role: "button", tabindex: "-1", "data-name": edge.name, "data-what": "edge" },
    svg("path", { class: "reach" }), svg("path", { class: "line" }), svg("polygon", {}),
    svg("text", { class: "caption", x, y, "text-anchor": "middle" }),
    svg("text", { class: "width", x, y, "text-anchor": "middle" }),
  );
  return part(group, "edges", index, onSelect);
}

// Show a state; what differs from another one is lit up, and what is gone is a ghost.
function showState(at, difference) {
  const changed = new Map(difference.nodes.filter(isOwn).map((node) => [node.index, node]));
  parts.nodes.forEach((drawn, index) => {
    const found = changed.get(index), state = nodeAt(index, at);
    showNode(drawn, index, state || (found ? nodeAt(index, difference.from) : null), found, !state);
  });
  parts.edges.forEach((drawn, index) => {
    const before = edgeAt(index, difference.from), state = edgeAt(index, at);
    const inner = isInner(data.graph.edges[index]);
    const changed = Boolean(state) && (!before || before.words !== state.words) && difference.from !== at;
    showEdge(drawn, index, state || (inner ? before : null), {
      ghost: !state, changed, narrower: changed && Boolean(before) && isNarrowerAt(data.graph.edges[index].ends[0], difference.from, at),
    });
  });
  keepOneStop();
}

// True if a node gives fewer features in one state than in another.
function isNarrowerAt(index, from, at) {
  const before = nodeAt(index, from), after = nodeAt(index, at);
  return Boolean(before && after) && after.shape[0] < before.shape[0];
}

// Most parts stay as they were: writing them again would make the browser set all of their text again.
function isAsItWas(drawn, now) {
  const same = drawn.shown && now.every((value, index) => value === drawn.shown[index]);
  drawn.shown = now;
  return same;
}

function showNode(drawn, index, state, found, ghost) {
  const { group } = drawn, node = data.graph.nodes[index];
  const narrower = Boolean(found) && isNarrower(found);
  if (isAsItWas(drawn, [state, found ? badge(found) : null, ghost, narrower])) return;
  drawn.there = Boolean(state);
  group.classList.toggle("absent", !state);
  group.setAttribute("aria-hidden", String(!state));
  if (!state) return;
  const circle = state.role === "merge", words = found ? badge(found) : "";
  const classes = ["node", state.role, circle ? "circle" : "box", ghost ? "ghost" : found ? "changed" : "", narrower ? "narrower" : ""];
  if (state.mark) classes.push("growable");
  if (group.classList.contains("selected")) classes.push("selected");
  group.setAttribute("class", classes.filter(Boolean).join(" "));
  const [, , symbol, title, mark, second, third] = group.children;
  symbol.textContent = circle ? state.symbol || "" : "";
  const named = node.what === "node" || state.named;
  title.textContent = circle ? "" : named ? node.title : "output";
  mark.textContent = circle ? "" : state.mark || "";
  second.replaceChildren();
  third.textContent = circle ? "" : words;
  if (!circle) {
    second.append(svg("tspan", { class: "kind" }, node.what === "output" && !named ? "" : state.kind),
      state.words ? ` ${state.words}` : "");
    const y = node.place[1], rows = words ? [-10, 5, 19] : [-3.5, 12, 0];
    [title, second, third].forEach((text, row) => text.setAttribute("y", y + rows[row]));
    mark.setAttribute("y", y + rows[0]);
  }
  group.setAttribute("aria-label", nodeWords(node, state) + (words ? `, ${words}` : ""));
}

function nodeWords(node, state) {
  const words = [state.kind, state.words].filter(Boolean).join(" ");
  return `${node.name}: ${words}`;
}

function showEdge(drawn, index, state, { ghost, changed, narrower }) {
  const { group } = drawn, edge = data.graph.edges[index];
  if (isAsItWas(drawn, [state, ghost, changed, narrower])) return;
  drawn.there = Boolean(state);
  group.setAttribute("aria-hidden", String(!state));
  const selected = group.classList.contains("selected") ? " selected" : "";
  group.setAttribute("class", `edge${state ? "" : " absent"}${ghost && state ? " ghost" : ""}${changed ? " changed" : ""}${narrower ? " narrower" : ""}${selected}`);
  if (!state) return;
  const [reach, line, arrow, caption, width] = group.children, [path, corners] = edge.ways[state.way];
  for (const way of [reach, line]) way.setAttribute("d", path);
  arrow.setAttribute("points", corners);
  line.style.strokeWidth = `${state.thick}px`;
  width.textContent = edge.label ? state.words : "";
  caption.textContent = edge.label ? state.caption || "" : "";
  if (edge.label) {
    const y = edge.label[1];
    caption.setAttribute("y", y - 2);
    width.setAttribute("y", state.caption ? y + 10 : y + 3);
  }
  group.setAttribute("aria-label", `${edgeName(edge)}: ${state.words}`);
}
const edgeName = (edge) => edge.name.replace(/->$/, "->output").replace("->", " → ");

function showSelected(selected) {
  for (const each of [...parts.nodes, ...parts.edges]) {
    const on = Boolean(selected) && each.what === selected.what && each.index === selected.index;
    each.group.classList.toggle("selected", on);
    each.group.setAttribute("aria-pressed", String(on));
  }
}

// One stop of the tab key; the arrows walk on from there.
let stop = null;
function keepOneStop(wanted) {
  const before = stop;
  if (wanted) stop = wanted;
  if (!stop || !stop.there || !parts.order.includes(stop)) stop = parts.order.find((each) => each.there) || null;
  if (before && before !== stop) before.group.setAttribute("tabindex", "-1");
  if (stop) stop.group.setAttribute("tabindex", "0");
}
function walk(from, by) {
  const there = parts.order.filter((each) => each.there);
  const next = there[there.indexOf(from) + by];
  if (!next) return;
  keepOneStop(next);
  next.group.focus({ preventScroll: true });
  reveal([next]);
}

// Scroll the sheet, not the page, to what is not to be seen.
function reveal(wanted) {
  const sheet = $("sheet"), view = sheet.getBoundingClientRect();
  const boxes = wanted.map((each) => each.group.getBoundingClientRect()).filter((box) => box.width || box.height);
  const middle = (box) => [(box.left + box.right) / 2, (box.top + box.bottom) / 2];
  const seen = (box) => {
    const [x, y] = middle(box);
    return x > view.left && x < view.right && y > view.top && y < view.bottom;
  };
  if (!boxes.length || boxes.some(seen)) return;
  const [here, there] = [middle(view), middle(boxes[0])];
  sheet.scrollBy({
    left: there[0] - here[0], top: there[1] - here[1],
    behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth",
  });
}

// How large it is drawn: a number, or "fit" for the whole of it.
function scaleDrawing(scale) {
  const sheet = $("sheet"), width = sheet.clientWidth || 600;
  const fit = Math.min(width / parts.width, (sheet.clientHeight || 500) / parts.height);
  const usual = Math.min(1.1, Math.max(0.62, width / parts.width));
  const used = scale === "fit" ? fit : scale === null ? usual : scale;
  const drawing = $("drawing");
  drawing.style.width = `${Math.round(parts.width * used)}px`;
  drawing.style.height = `${Math.round(parts.height * used)}px`;
  return used;
}
