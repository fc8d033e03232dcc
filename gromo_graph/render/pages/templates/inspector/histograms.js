// The distributions of a node's weights and outputs, at a step or at the end of the training.

// The histograms that hold at a state: those of the end for the last one of a run that is over, else of the latest step.
function histogramsAt(at) {
  const ends = at === lastState() && data.results && data.results.histograms;
  if (ends) return { words: "at the end of the training", of: ends };
  const found = data.histograms.filter(([state]) => state <= at).pop();
  return found ? { words: `after ${stateName(found[0])}`, of: found[1] } : null;
}

function histogramsPart(name, at) {
  const found = histogramsAt(at), own = found && Object.hasOwn(found.of, name) ? found.of[name] : null;
  if (!own) return null;
  const [weights, outputs] = own;
  return html("div", { class: "small-plots" },
    weights ? histogramFigure("weights", found.words, weights) : null,
    outputs ? histogramFigure("outputs", found.words, outputs) : null);
}

// Bars from the least to the greatest value; the height is the share of the fullest bin.
function histogramFigure(what, words, [low, high, counts]) {
  const { width, height, left, right, top } = SMALL, floor = height - SMALL.bottom;
  const bars = [...counts].map((digit) => parseInt(digit, 36) / 35);
  const whole = width - left - right, size = whole / bars.length;
  const tick = (x, value) => svg("text", { class: "tick", "text-anchor": "middle", x: place(x), y: floor + 15 }, real(value));
  const zero = low < 0 && high > 0 ? left + whole * (-low / (high - low)) : null;
  const ends = low === high ? [tick(left + whole / 2, low)] : [tick(left, low), tick(left + whole, high)];
  const free = known(zero) && Math.min(zero - left, left + whole - zero) > 40;
  const root = svg("svg", { class: "histogram", viewBox: `0 0 ${width} ${height}`, role: "img" },
    svg("title", {}, `${what} ${words}: from ${real(low)} to ${real(high)}`),
    bars.map((share, index) => (share ? svg("rect", {
      class: "bar", x: place(left + index * size + 0.5), width: place(size - 1),
      y: place(floor - share * (floor - top)), height: place(share * (floor - top)),
    }) : null)),
    svg("line", { class: "grid", x1: left, x2: left + whole, y1: floor, y2: floor }),
    known(zero) ? svg("line", { class: "zero", x1: place(zero), x2: place(zero), y1: top, y2: floor }) : null,
    ends, free ? tick(zero, 0) : null);
  return html("figure", { class: "plotted" },
    html("figcaption", {}, html("b", {}, explained(what)), html("span", { class: "readout" }, words)), root);
}
