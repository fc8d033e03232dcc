// Curves over the epochs, and points against each other, as plain SVG. What is pointed at in one is marked in all.

const PLOT = { width: 420, height: 230, left: 54, right: 70, top: 16, bottom: 36 };
const SMALL = { width: 270, height: 160, left: 50, right: 14, top: 10, bottom: 34 };
let plots = [];

// Three to seven round numbers that enclose the values.
function ticksOf(low, high) {
  if (high - low <= 1e-12 * Math.max(Math.abs(low), Math.abs(high))) {
    low -= (Math.abs(low) || 1) / 5;
    high += (Math.abs(high) || 1) / 5;
  }
  const rough = (high - low) / 5, unit = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * unit).find((size) => size >= rough * 0.999);
  const ticks = [];
  for (let i = Math.floor(low / step + 1e-9); i <= Math.ceil(high / step - 1e-9); i += 1) {
    ticks.push(Number((i * step).toPrecision(10)));
  }
  return ticks;
}
function powersOf(low, high) {
  const first = Math.floor(Math.log10(low)), last = Math.max(first + 1, Math.ceil(Math.log10(high)));
  const every = Math.ceil((last - first) / 5), ticks = [];
  for (let power = first; power < last + every; power += every) ticks.push(10 ** power);
  return ticks;
}
const scale = (low, high, start, end) => (value) => start + ((value - low) / (high - low)) * (end - start);
const tickWords = (value) => (Math.abs(value) >= 1000 && Number.isInteger(value) ? count(value) : real(value, 4));
// A label of an axis: millions and more are short, as the margin holds seven characters.
const axisWords = (value) => (Math.abs(value) < 1e6 ? tickWords(value)
  : new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 2 }).format(value));
const place = (value) => Math.round(value * 10) / 10;

// A plot of lines over epochs or steps. `marks`: {x, event, kind, words}; `hover(x)` tells the others, `pick(event)` goes there.
function linePlot({ title, across, lines, marks, fromZero, powers, hover, pick, box = PLOT }) {
  const drawn = lines.map((line) => ({ ...line, points: line.points.filter(([, value]) => known(value)) }))
    .filter((line) => line.points.length);
  if (!drawn.length) return null;
  const xs = [...drawn.flatMap((line) => line.points.map(([x]) => x)), ...marks.map((mark) => mark.x)];
  const ys = drawn.flatMap((line) => line.points.map(([, y]) => y));
  // Values of very different sizes, all above 0, stand on a scale of powers of 10 where that is asked for.
  const log = powers && least(ys) > 0 && (powers === "always" || greatest(ys) > 50 * least(ys));
  const ticks = log ? powersOf(least(ys), greatest(ys)) : ticksOf(fromZero ? Math.min(0, least(ys)) : least(ys), greatest(ys));
  const low = Math.min(0, least(xs)), high = Math.max(1, greatest(xs));
  const x = scale(low, high, box.left, box.width - box.right);
  const height = log ? Math.log10 : Number;
  const linear = scale(height(ticks[0]), height(ticks[ticks.length - 1]), box.height - box.bottom, box.top);
  const y = (value) => linear(height(value));
  const guide = svg("line", { class: "guide", y1: box.top, y2: box.height - box.bottom, visibility: "hidden" });
  const dots = drawn.map((line) => svg("circle", { class: `dot ${line.role}`, r: 4, visibility: "hidden" }));
  const drawnMarks = marks.map((mark) => drawMark(mark, place(x(mark.x)), pick, box));
  const root = svg("svg", { class: marks.length > 50 ? "plot dense" : "plot", viewBox: `0 0 ${box.width} ${box.height}`, role: "img" },
    svg("title", {}, summary(title, across, drawn)),
    axes(x, y, ticks, [low, high], across, box), drawnMarks.map((mark) => mark.group),
    drawn.map((line) => curve(line, x, y)), guide, dots, endNames(drawn, y, box));
  const readout = html("span", { class: "readout" });
  const found = {
    title, marks: drawnMarks, rows: drawn.flatMap((line) => line.points.map(([at, value]) => [title, across, at, value])),
    figure: html("figure", { class: "card plotted" }, html("figcaption", {}, html("b", {}, title), readout), root),
    point(at) {
      const on = known(at) && at >= low && at <= high;
      guide.setAttribute("visibility", on ? "visible" : "hidden");
      if (on) { guide.setAttribute("x1", place(x(at))); guide.setAttribute("x2", place(x(at))); }
      const words = on ? [`${across} ${at}`] : [];
      drawn.forEach((line, index) => {
        const value = on ? valueAt(line, at) : null;
        dots[index].setAttribute("visibility", known(value) ? "visible" : "hidden");
        if (!known(value)) return;
        dots[index].setAttribute("cx", place(x(at)));
        dots[index].setAttribute("cy", place(y(value)));
        words.push(`${line.name ? `${line.name} ` : ""}${tickWords(value)}`);
      });
      readout.textContent = words.join(" · ");
    },
  };
  const follow = (event) => {
    const seen = root.getBoundingClientRect(), at = ((event.clientX - seen.left) / seen.width) * box.width;
    const value = low + ((at - box.left) / (box.width - box.right - box.left)) * (high - low);
    hover(Math.min(high, Math.max(low, Math.round(value))));
  };
  root.addEventListener("pointermove", follow);
  root.addEventListener("pointerdown", follow);
  root.addEventListener("pointerleave", () => hover(null));
  return found;
}
const least = (values) => values.reduce((a, b) => Math.min(a, b));
const greatest = (values) => values.reduce((a, b) => Math.max(a, b));

function valueAt(line, at) {
  let found = null;
  for (const [x, value] of line.points) {
    if (x === at || (line.stairs && x <= at)) found = value;
    if (x >= at) break;
  }
  return found;
}

function summary(title, across, lines) {
  const told = lines.map((line) => {
    const [first, last] = [line.points[0], line.points[line.points.length - 1]];
    return `${line.name || title} from ${real(first[1])} to ${real(last[1])}`;
  });
  return `${title} over the ${plural(across, 2)}: ${told.join(", ")}`;
}

function axes(x, y, ticks, [low, high], across, box) {
  const rows = ticks.map((tick) => [
    svg("line", { class: "grid", x1: box.left, x2: box.width - box.right, y1: place(y(tick)), y2: place(y(tick)) }),
    svg("text", { class: "tick", "text-anchor": "end", x: box.left - 6, y: place(y(tick)) + 3.5 }, axisWords(tick)),
  ]);
  const whole = ticksOf(low, high).filter((tick) => Number.isInteger(tick) && tick >= low && tick <= high);
  const columns = whole.map((tick) =>
    svg("text", { class: "tick", "text-anchor": "middle", x: place(x(tick)), y: box.height - box.bottom + 15 }, count(tick)));
  const middle = (box.left + box.width - box.right) / 2;
  return [rows, columns, svg("text", { class: "tick", "text-anchor": "middle", x: middle, y: box.height - 5 }, across)];
}

function drawMark(mark, at, pick, box) {
  const top = box.top, group = svg("g", { class: `growth ${mark.kind}`, "data-event": mark.event },
    svg("title", {}, mark.words),
    svg("line", { x1: at, x2: at, y1: top, y2: box.height - box.bottom }),
    svg("rect", { class: "reach", x: at - 5, width: 10, y: top - 10, height: box.height - box.bottom - top + 10 }),
    svg("path", { d: `M${at},${top - 1} l4.5,-9 h-9 z` }));
  group.addEventListener("pointerenter", () => lightUp(mark.event));
  group.addEventListener("pointerleave", () => lightUp(null));
  if (pick) group.addEventListener("click", () => pick(mark.event));
  return { group, event: mark.event };
}

function curve(line, x, y) {
  let path = "";
  line.points.forEach(([at, value], index) => {
    const right = place(x(at)), height = place(y(value));
    if (!index) path = `M${right},${height}`;
    else path += line.stairs ? `H${right}V${height}` : `L${right},${height}`;
  });
  if (line.stairs && known(line.until)) path += `H${place(x(line.until))}`;
  const single = line.points.length === 1 && !line.stairs || line.dots;
  return svg("g", { class: `curve ${line.role}` }, line.dots ? null : svg("path", { d: path }),
    single ? line.points.map(([at, value, kind]) =>
      svg("circle", { class: kind || "", cx: place(x(at)), cy: place(y(value)), r: 3.5 })) : null);
}

// The names at the ends of the lines: no two touch, and all are between top and axis.
function endNames(lines, y, box) {
  const ends = lines.filter((line) => line.name)
    .map((line) => [y(line.points[line.points.length - 1][1]), line]).sort((one, other) => other[0] - one[0]);
  const heights = [];
  for (const [height] of ends) {
    heights.push(Math.min(height + 4, heights.length ? heights[heights.length - 1] - 13 : box.height - box.bottom));
  }
  const down = heights.length ? Math.max(0, box.top + 4 - heights[heights.length - 1]) : 0;
  return ends.map(([, line], index) =>
    svg("text", { class: `name ${line.role}`, x: box.width - box.right + 6, y: place(heights[index] + down) }, line.name));
}

// What growth steps promised at first order, slope × γ, against what they brought at once; both on scales of powers of 10.
function scatterPlot(points, pick) {
  const good = points.filter((point) => point.promised > 0);
  if (!good.length) return null;
  const none = points.length - good.length;
  const fell = good.filter((point) => point.realised > 0);
  const values = [...good.map((point) => point.promised), ...fell.map((point) => point.realised)].map(Math.log10);
  const low = Math.floor(least(values) - 0.15), high = Math.max(low + 1, Math.ceil(greatest(values) + 0.15));
  const right = PLOT.width - 16;
  const x = scale(low, high, PLOT.left, right), y = scale(low, high, PLOT.height - PLOT.bottom, PLOT.top);
  const every = Math.ceil((high - low) / 6), powers = [];
  for (let power = low; power <= high; power += every) powers.push(power);
  const words = (power) => (power >= -3 && power <= 4 ? real(10 ** power) : `1e${minus(String(power))}`);
  const marks = good.map((point) => {
    const at = place(x(Math.log10(point.promised)));
    const height = point.realised > 0 ? place(y(Math.log10(point.realised))) : PLOT.height - PLOT.bottom - 4;
    const group = svg("g", { class: `growth point ${point.kind}${point.realised > 0 ? "" : " none"}`, "data-event": point.event },
      svg("title", {}, point.words), svg("circle", { class: "reach", cx: at, cy: height, r: 10 }), symbolOf(point.kind, at, height));
    group.addEventListener("pointerenter", () => lightUp(point.event));
    group.addEventListener("pointerleave", () => lightUp(null));
    group.addEventListener("click", () => pick(point.event));
    return { group, event: point.event };
  });
  const root = svg("svg", { class: "plot", viewBox: `0 0 ${PLOT.width} ${PLOT.height}`, role: "img" },
    svg("title", {}, `promised against realised decrease of the held-out loss, ${amount(good.length, "growth step")}`),
    powers.map((power) => [
      svg("line", { class: "grid", x1: PLOT.left, x2: right, y1: place(y(power)), y2: place(y(power)) }),
      svg("text", { class: "tick", "text-anchor": "end", x: PLOT.left - 6, y: place(y(power)) + 3.5 }, words(power)),
      svg("text", { class: "tick", "text-anchor": "middle", x: place(x(power)), y: PLOT.height - PLOT.bottom + 15 }, words(power)),
    ]),
    svg("line", { class: "even", x1: PLOT.left, y1: PLOT.height - PLOT.bottom, x2: right, y2: PLOT.top }),
    svg("text", { class: "tick", "text-anchor": "middle", x: (PLOT.left + right) / 2, y: PLOT.height - 5 }, "promised: slope × γ"),
    svg("text", { class: "tick", x: PLOT.left + 6, y: PLOT.top + 13 }, "realised"),
    marks.map((mark) => mark.group));
  const kinds = [...new Set(good.map((point) => point.kind))];
  const legend = kinds.map((kind) => html("span", { class: "key" },
    svg("svg", { class: `point ${kind}`, viewBox: "-7 -7 14 14", width: 14, height: 14, "aria-hidden": "true" }, symbolOf(kind, 0, 0)), kindWords(kind)));
  return {
    title: "promised and realised", marks, point() {},
    figure: html("figure", { class: "card plotted" },
      html("figcaption", {}, html("b", {}, "promised and realised"), html("span", { class: "readout" }, legend)), root,
      none ? html("p", { class: "quiet" }, `${amount(none, "step")} of ${points.length} promised nothing, as random neurons and steps that take neurons out do, and ${none === 1 ? "has" : "have"} no place on this scale.`) : null),
  };
}

function symbolOf(kind, x, y) {
  const shapes = {
    new_edge: `M${x - 4.5},${y - 4.5} h9 v9 h-9 z`, new_node: `M${x},${y - 6} l6,6 l-6,6 l-6,-6 z`,
    prune: `M${x},${y + 5.5} l-5.5,-10 h11 z`,
  };
  return kind in shapes ? svg("path", { class: "symbol", d: shapes[kind] }) : svg("circle", { class: "symbol", cx: x, cy: y, r: 5 });
}

// Mark a growth step wherever it stands: in the curves, among the points, in the table of steps.
function lightUp(event) {
  document.querySelectorAll("[data-event].lit").forEach((each) => each.classList.remove("lit"));
  if (known(event)) document.querySelectorAll(`[data-event="${event}"]`).forEach((each) => each.classList.add("lit"));
}
