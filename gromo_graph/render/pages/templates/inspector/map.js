// A small map beside a drawing that is much larger than its sheet: where something differs, and what part is to be seen.

let map = null;

function makeMap() {
  const [x, y, width, height] = data.graph.box, along = width > height;
  const boxes = data.graph.nodes.map((node) => {
    const [centre, middle, wide, high] = node.place;
    return svg("rect", { x: centre - wide / 2, y: middle - high / 2, width: wide, height: high });
  });
  const view = svg("rect", { class: "view", "vector-effect": "non-scaling-stroke" });
  const root = svg("svg", {
    id: "map", class: along ? "along" : "down", viewBox: `${x - 14} ${y - 14} ${width + 28} ${height + 28}`,
    preserveAspectRatio: "none", "aria-hidden": "true",
  }, boxes, view);
  const go = (event) => {
    const box = root.getBoundingClientRect(), sheet = $("sheet");
    const [right, down] = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    sheet.scrollTo({
      left: right * sheet.scrollWidth - sheet.clientWidth / 2, top: down * sheet.scrollHeight - sheet.clientHeight / 2, behavior: "instant",
    });
  };
  root.addEventListener("pointerdown", (event) => { root.setPointerCapture(event.pointerId); go(event); });
  root.addEventListener("pointermove", (event) => { if (root.hasPointerCapture(event.pointerId)) go(event); });
  map = { root, boxes, view, along };
  return root;
}

function showMap() {
  map.boxes.forEach((box, index) => { box.setAttribute("class", parts.nodes[index].group.getAttribute("class")); });
}

// The part that is to be seen; the map itself only where that is a small one.
function followMap() {
  const sheet = $("sheet"), [x, y, width, height] = data.graph.box;
  const large = map.along ? sheet.scrollWidth > 2.5 * sheet.clientWidth : sheet.scrollHeight > 2.5 * sheet.clientHeight;
  map.root.classList.toggle("needless", !large);
  if (!sheet.scrollWidth || !sheet.scrollHeight) return; // it is not shown, as on paper
  const [wide, high] = [(width + 28) / sheet.scrollWidth, (height + 28) / sheet.scrollHeight];
  const places = { x: x - 14 + sheet.scrollLeft * wide, y: y - 14 + sheet.scrollTop * high, width: sheet.clientWidth * wide, height: sheet.clientHeight * high };
  for (const [key, value] of Object.entries(places)) map.view.setAttribute(key, place(value));
}
