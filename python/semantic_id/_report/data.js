// The items, in the order of their ids: a prefix is a range of rows, {depth, index, low, high}.
"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const unpack = ([kind, text]) =>
  new { Float32Array, Uint16Array, Uint32Array }[kind](Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);

const codes = data.codes.map(unpack);
const counts = data.counts.map(unpack); // of all items, also of those that are not here
const [x, y, rows] = [data.x, data.y, data.rows].map(unpack);
const labelOf = data.labels && unpack(data.labels.of);
const parts = data.parts.map((pairs) => pairs && new Map(pairs));
const levels = codes.length;
const root = { depth: 0, index: 0, low: 0, high: rows.length };

// starts[d][i]: the row where the i-th prefix of d + 1 codes begins
const starts = codes.map(() => []);
for (let row = 0; row < rows.length; row++) {
  let begins = row === 0;
  for (let level = 0; level < levels; level++) {
    begins = begins || codes[level][row] !== codes[level][row - 1];
    if (begins) starts[level].push(row);
  }
}

const written = (level, row) => (parts[level] ? parts[level].get(codes[level][row]) : String(codes[level][row]));
const prefixOf = (row, depth) => codes.slice(0, depth).map((_, level) => written(level, row)).join(data.sep);
const nameOf = (row) => (data.items && data.items[row]) || `row ${rows[row]}`;
const labelled = (row) => (labelOf ? data.labels.names[labelOf[row]] : "");
const isMissing = (row) => data.labels.missing && labelOf[row] === 0;
const countOf = (node) => (node.depth ? counts[node.depth - 1][node.index] : data.n);
const number = (value) => value.toLocaleString("en");
const items = (count) => `${number(count)} ${count === 1 ? "item" : "items"}`;

const short = (text, length) => (text.length > length ? `${[...text].slice(0, length - 1).join("")}…` : text);

function firstAtOrAfter(list, value) {
  let [low, high] = [0, list.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (list[middle] < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

function nodeAt(depth, index) {
  const list = starts[depth - 1];
  return { depth, index, low: list[index], high: index + 1 < list.length ? list[index + 1] : rows.length };
}

// The prefix of so many codes that a row has.
const nodeOf = (row, depth) => nodeAt(depth, firstAtOrAfter(starts[depth - 1], row + 1) - 1);

// The prefixes that are one code longer, the one of most items first.
function childrenOf(node) {
  const list = starts[node.depth];
  const found = [];
  for (let i = firstAtOrAfter(list, node.low); i < list.length && list[i] < node.high; i++) {
    found.push(nodeAt(node.depth + 1, i));
  }
  return found.sort((a, b) => countOf(b) - countOf(a));
}

// The prefix that a text such as "3-9" says, or null if no item here has it.
function parsePrefix(text) {
  let node = root;
  const wanted = text.trim() ? text.trim().split(data.sep) : [];
  if (wanted.length > 1 && wanted[wanted.length - 1] === "") wanted.pop();
  for (const part of wanted) {
    const next = node.depth < levels && childrenOf(node).find((child) => written(node.depth, child.low) === part.trim());
    if (!next) return null;
    node = next;
  }
  return node;
}

// The commonest label among some rows, and its share of those that have one; null without any.
function commonestLabel({ low, high }) {
  const seen = new Map();
  let all = 0;
  for (let row = low; row < high; row++) {
    if (isMissing(row)) continue;
    seen.set(labelOf[row], (seen.get(labelOf[row]) || 0) + 1);
    all++;
  }
  let best = null;
  for (const [label, count] of seen) if (!best || count > best[1]) best = [label, count];
  return best && { name: data.labels.names[best[0]], share: best[1] / all };
}

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children); // strings become text, whatever they hold
  return made;
}
