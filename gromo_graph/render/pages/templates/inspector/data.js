// The data of the page, what was when, and how elements and numbers are made. Texts are only ever put in as text.

let data = JSON.parse(document.getElementById("data").textContent);

const $ = (id) => document.getElementById(id);

function make(space, tag, attributes, children) {
  const element = space ? document.createElementNS(space, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(name, value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(9).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}
const html = (tag, attributes, ...children) => make(null, tag, attributes, children);
const svg = (tag, attributes, ...children) => make("http://www.w3.org/2000/svg", tag, attributes, children);
const name = (text) => html("bdi", {}, text);

// States: what something was holds until the next one that is written down.
function then(states, at) {
  let low = 0, high = states.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (states[middle][0] <= at) low = middle + 1;
    else high = middle;
  }
  return low ? states[low - 1][1] : null;
}
const lastState = () => data.states.length - 1;
const nodeAt = (index, at) => then(data.graph.nodes[index].states, at);
const optionsOf = (state) => data.graph.options[state.options];
const groupOf = (state) => (state && known(state.group) ? data.graph.groups[state.group] : null);
const edgeAt = (index, at) => then(data.graph.edges[index].states, at);
const eventOf = (at) => (data.states[at].event === null ? null : data.events[data.states[at].event]);
const stateOf = (event) => data.states.findIndex((state) => state.event === event);
const isInner = (edge) => data.graph.nodes[edge.ends[1]].what === "node";

// The place of an event on an axis of epochs: at its training step if the journal tells it.
const placeOf = (event) => (known(event.done) ? event.done : event.epoch);

// The spec of a state as lines: the one before, with what the step changed.
const specs = [];
function specAt(at) {
  if (!specs.length) specs.push(data.specs.first);
  while (specs.length <= at) {
    const lines = specs[specs.length - 1].slice();
    for (const [start, out, inserted] of data.specs.changes[specs.length - 1]) {
      lines.splice(start, out, ...inserted);
    }
    specs.push(lines);
  }
  return specs[at];
}

// Random neurons alone: they were due, and no candidate was applied.
const isRandom = (event) => event.random > 0 && event.random === event.neurons;

// A candidate with names; the chosen one is told by the event, and so is the one whose place random neurons took.
function candidatesOf(event) {
  const words = (index) => (index === null ? null : data.texts[index]);
  const rows = event.candidates.map(([kind, target, neurons, slope, predicted, parameters, madds, reason, inexact, solver, note]) => ({
    kind: words(kind), target: words(target), neurons, slope, predicted, parameters, madds,
    reason: words(reason), inexact: words(inexact), solver: words(solver), note: words(note), rank: null,
    isOfStep: event.kind !== null && words(kind) === event.kind && words(target) === event.target,
  }));
  for (const row of rows) {
    row.chosen = row.isOfStep && !isRandom(event);
    row.replaced = row.isOfStep && isRandom(event) && !row.reason;
  }
  rows.filter((row) => row.slope !== null)
    .sort((one, other) => other.slope - one.slope)
    .forEach((row, index) => { row.rank = index + 1; });
  return rows;
}
const KINDS = { widen: "widen", new_edge: "new edge", new_node: "new node", new_head: "new head", prune: "prune" };
const kindWords = (kind) => KINDS[kind] || kind;

// Numbers as in the drawings.
const THIN = "\u202f";
const minus = (text) => text.replace(/-/g, "−");
const known = (value) => value !== null && value !== undefined;
const count = (value) => (known(value) ? minus(String(value)).replace(/\B(?=(\d{3})+(?!\d))/g, ",") : "–");
const signed = (value) => (value > 0 ? `+${count(value)}` : count(value));
function real(value, digits = 3) {
  if (!known(value)) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  const text = size < 1e-4 || size >= 1e6 ? value.toExponential(digits - 1) : value.toPrecision(digits);
  const [mantissa, exponent] = text.split("e");
  const short = mantissa.includes(".") ? mantissa.replace(/\.?0+$/, "") : mantissa;
  return minus(exponent ? `${short}e${exponent}` : short);
}
function change(before, after) {
  let digits = 3;
  while (digits < 7 && before !== after && real(before, digits) === real(after, digits)) digits += 1;
  return `${real(before, digits)} → ${real(after, digits)}`;
}
function share(before, after) {
  if (!known(before) || !known(after) || before === 0) return "";
  const percent = (100 * (after - before)) / Math.abs(before);
  const text = percent.toFixed(Math.abs(percent) >= 9.95 ? 0 : 1);
  return /[1-9]/.test(text) ? `${percent > 0 ? "+" : ""}${minus(text)}${THIN}%` : "";
}
const percent = (ratio) => `${minus((100 * ratio).toFixed(Math.abs(ratio) < 0.0995 ? 1 : 0))}${THIN}%`;
const shape = (sizes) => sizes.map(count).join("×");
const plural = (word, number) => (number === 1 ? word : `${word}s`);
const amount = (number, word) => `${count(number)} ${plural(word, number)}`;
function shortened(text, most) {
  const letters = [...text];
  if (letters.length <= most) return text;
  const half = Math.floor((most - 1) / 2);
  return `${letters.slice(0, half).join("")}…${letters.slice(-half).join("")}`;
}
