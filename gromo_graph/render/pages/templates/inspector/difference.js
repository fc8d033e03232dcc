// What turns one state of the run into another: of nodes, edges, and lines of the spec.

// Nodes are the same where they have the same name; of nodes of two kinds the kind says it all.
function compare(from, to) {
  const nodes = [];
  data.graph.nodes.forEach((node, index) => {
    if (node.what !== "node") return;
    const before = nodeAt(index, from), after = nodeAt(index, to);
    if (before === after) return;
    const found = {
      index, name: node.name, before: before && before.shape, after: after && after.shape,
      what: before ? (after ? "changed" : "removed") : "added", values: [],
      parameters: (after ? after.parameters : 0) - (before ? before.parameters : 0),
      madds: (after ? after.madds : 0) - (before ? before.madds : 0),
    };
    if (before && after) {
      found.values = before.kind === after.kind
        ? changes(optionsOf(before), optionsOf(after), "")
        : [{ key: "kind", before: before.kind, after: after.kind }];
      const same = shape(before.shape) === shape(after.shape);
      if (!found.values.length && same && !found.parameters && !found.madds) return;
    }
    nodes.push(found);
  });
  const added = [], removed = [];
  data.graph.edges.forEach((edge, index) => {
    if (!isInner(edge)) return;
    const before = edgeAt(index, from), after = edgeAt(index, to);
    if (after && !before) added.push(index);
    if (before && !after) removed.push(index);
  });
  return { from, to, nodes, added, removed };
}

function changes(before, after, path) {
  const found = [];
  for (const key of new Set([...Object.keys(before), ...Object.keys(after)])) {
    const one = key in before ? before[key] : null, other = key in after ? after[key] : null;
    if (JSON.stringify(one) === JSON.stringify(other)) continue;
    const maps = [one, other].every((value) => value && typeof value === "object" && !Array.isArray(value));
    if (maps) found.push(...changes(one, other, `${path}${key}.`));
    else found.push({ key: `${path}${key}`, before: one, after: other });
  }
  return found;
}

const shown = (value) => (value === null ? "none" : typeof value === "string" ? value : JSON.stringify(value));
const valueWords = (value) => `${value.key}: ${shown(value.before)} → ${shown(value.after)}`;

// Not if only its input got another width: then its numbers differ in the table, and it is not lit up, as in the drawings.
const isOwn = (node) => node.what !== "changed" || node.values.length > 0 || shape(node.before) !== shape(node.after);

// True if its output has fewer features than before; of a block that is folded, if it has fewer parameters.
function isNarrower(node) {
  if (node.what !== "changed") return false;
  const total = node.values.find((value) => value.key === "parameters");
  return total ? total.after < total.before : node.after[0] < node.before[0];
}

// The few words in a node's box: how many features more, new, or what else it has become.
function badge(node) {
  if (node.what === "added") return "new";
  if (node.what === "removed") return "removed";
  const width = node.values.find((value) => value.key === "features");
  if (width) {
    const more = width.after - width.before;
    return `${more > 0 ? "+" : "−"}${amount(Math.abs(more), "feature")}`;
  }
  const total = node.values.find((value) => value.key === "parameters"); // of a block that is folded
  if (total) return `${signed(total.after - total.before)} parameters`;
  const kind = node.values.find((value) => value.key === "kind");
  if (kind) return `was ${kind.before}`;
  return node.values.length ? shortened(valueWords(node.values[0]), 26) : "";
}

// Lines of two texts: [sign, text, number in the new text]; the longest common row of lines stays. How much room is left
// between words does not matter: a longer name moves the columns of all others.
function lineDifference(was, after) {
  const plain = (text) => text.replace(/(\S) +/g, "$1 ");
  const before = was.map(plain), now = after.map(plain);
  let start = 0, end = 0;
  const shorter = Math.min(before.length, after.length);
  while (start < shorter && before[start] === now[start]) start += 1;
  while (end < shorter - start && before[before.length - 1 - end] === now[now.length - 1 - end]) end += 1;
  const old = before.slice(start, before.length - end), fresh = now.slice(start, now.length - end);
  const rows = after.slice(0, start).map((text, index) => [" ", text, index + 1]);
  const width = fresh.length + 1, table = new Uint32Array((old.length + 1) * width);
  for (let i = old.length - 1; i >= 0; i -= 1) {
    for (let j = fresh.length - 1; j >= 0; j -= 1) {
      table[i * width + j] = old[i] === fresh[j]
        ? table[(i + 1) * width + j + 1] + 1
        : Math.max(table[(i + 1) * width + j], table[i * width + j + 1]);
    }
  }
  let i = 0, j = 0;
  while (i < old.length || j < fresh.length) {
    if (i < old.length && j < fresh.length && old[i] === fresh[j]) {
      rows.push([" ", after[start + j], start + j + 1]);
      i += 1; j += 1;
    } else if (j === fresh.length || (i < old.length && table[(i + 1) * width + j] >= table[i * width + j + 1])) {
      rows.push(["−", was[start + i], null]);
      i += 1;
    } else {
      rows.push(["+", after[start + j], start + j + 1]);
      j += 1;
    }
  }
  for (let k = after.length - end; k < after.length; k += 1) rows.push([" ", after[k], k + 1]);
  return rows;
}
