// The map: all items, those of one prefix on top, and what the pointer is at.

const mapBox = document.getElementById("map-chart");
const tip = document.getElementById("tip");
let marked = null; // the prefix that is shown, or null for all

function mapTraces() {
  const size = rows.length > 20000 ? 3 : rows.length > 2000 ? 5 : 8;
  const colours = palette();
  const scale = colours.flatMap((colour, i) => [[i / 10, colour], [(i + 1) / 10, colour]]);
  const [low, high] = marked ? [marked.low, marked.high] : [0, 0];
  const points = { type: "scattergl", mode: "markers", hoverinfo: "none" };
  return [
    {
      ...points, x, y,
      marker: {
        size, color: pointColours, colorscale: scale, cmin: -0.5, cmax: 9.5, line: { width: 0 },
        opacity: marked ? 0.12 : rows.length > 20000 ? 0.6 : 0.85,
      },
    },
    {
      ...points, x: x.subarray(low, high), y: y.subarray(low, high),
      marker: { size: size + 2, color: style("--mark"), line: { width: 0 } },
    },
  ];
}

const colourOf = new Map(data.colours);
const pointColours = Array.from(codes[0], (code) => colourOf.get(code));

const MARGIN = 8;
const NAMES = 24; // at most, of NAME_HEIGHT pixels with what is around them
const NAME_HEIGHT = 20;

// Ranges of one scale on both axes. (plotly.js has scaleanchor for this, but then works out all points at each zoom.)
function mapRanges() {
  const [left, right, bottom, top] = mapEnds;
  const [width, height] = [mapBox.clientWidth, mapBox.clientHeight].map((size) => Math.max(1, size - 2 * MARGIN));
  const unit = (1.05 * Math.max((right - left) / width, (top - bottom) / height, 1e-3)) / 2;
  const around = (middle, size) => [middle - unit * size, middle + unit * size];
  return [around((left + right) / 2, width), around((bottom + top) / 2, height)];
}

const mapEnds = [x, y].flatMap((values) => {
  const ends = [Infinity, -Infinity];
  for (const value of values) [ends[0], ends[1]] = [Math.min(ends[0], value), Math.max(ends[1], value)];
  return ends;
});

// The names of first codes for which there is room, those of most items first.
function mapNames([low, high]) {
  const pixels = mapBox.clientWidth / (high - low);
  const kept = [];
  for (const [code, atX, atY] of data.names) {
    const full = parts[0] ? parts[0].get(code) : String(code);
    const text = short(full, 16);
    const half = 4 * text.length + 4;
    const hits = (other) =>
      Math.abs(other.atX - atX) * pixels < other.half + half && Math.abs(other.atY - atY) * pixels < NAME_HEIGHT;
    if (kept.length < NAMES && !kept.some(hits)) kept.push({ text, atX, atY, half });
  }
  return kept;
}

function mapLayout() {
  const axis = { showgrid: false, showticklabels: false, showline: false, fixedrange: false, rangemode: "normal" };
  const [rangeX, rangeY] = mapRanges();
  const names = marked ? [] : mapNames(rangeX);
  return base({
    width: mapBox.clientWidth,
    height: mapBox.clientHeight,
    margin: { l: MARGIN, r: MARGIN, t: MARGIN, b: MARGIN },
    hovermode: "closest",
    hoverdistance: 14,
    dragmode: matchMedia("(pointer: coarse)").matches ? false : "pan", // a finger is to scroll the page
    xaxis: { ...axis, range: rangeX },
    yaxis: { ...axis, range: rangeY },
    modebar: { bgcolor: style("--card"), color: style("--grey"), activecolor: style("--ink") },
    uirevision: "keep", // zoom and place stay when colours change
    annotations: names.map(({ text, atX, atY }) => ({
      x: atX, y: atY, text: escaped(text), showarrow: false, borderpad: 1,
      font: { size: 12, color: style("--ink"), weight: 700 }, bgcolor: style("--halo"),
    })),
  });
}

// plotly.js reads texts as HTML of a few tags
const escaped = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

const drawMap = () =>
  Plotly.react(mapBox, mapTraces(), mapLayout(), {
    responsive: false, // this script draws it anew at each size, with ranges and names that fit
    plotGlPixelRatio: window.devicePixelRatio, // by itself it is 2, which takes four times as long where it is 1
    displaylogo: false,
    displayModeBar: true,
    modeBarButtons: [["zoomIn2d", "zoomOut2d", "resetScale2d"], ["pan2d", "zoom2d", "toImage"]],
  });

function showPrefix(node, scroll = false) {
  marked = node && node.depth ? node : null;
  drawMap();
  const state = document.getElementById("map-state");
  const input = document.getElementById("prefix");
  const text = marked ? prefixOf(marked.low, marked.depth) : "";
  if (document.activeElement !== input) input.value = text;
  state.textContent = marked ? `${text}: ${items(countOf(marked))}` : "";
  if (scroll) document.getElementById("map").scrollIntoView();
}

function showTip(event) {
  const point = event.points[0];
  const row = point.pointNumber + (point.curveNumber ? marked.low : 0);
  const lines = [element("b", {}, nameOf(row)), element("code", {}, prefixOf(row, levels))];
  if (labelOf) lines.push(element("span", {}, isMissing(row) ? "no label" : labelled(row)));
  const count = countOf(nodeOf(row, levels));
  lines.push(element("span", {}, count === 1 ? "an id of its own" : `${items(count)} on this id`));
  tip.replaceChildren(...lines);
  tip.hidden = false;
  const box = mapBox.getBoundingClientRect();
  const { clientX = box.left, clientY = box.top } = event.event || {};
  const left = Math.max(4, Math.min(clientX - box.left + 14, box.width - tip.offsetWidth - 4));
  const above = clientY - box.top + 14 + tip.offsetHeight > box.height;
  tip.style.left = `${left + mapBox.offsetLeft}px`;
  tip.style.top = `${clientY - box.top + mapBox.offsetTop + (above ? -tip.offsetHeight - 10 : 14)}px`;
}

drawMap();
drawn.push(drawMap);
mapBox.on("plotly_hover", showTip);
mapBox.on("plotly_unhover", () => (tip.hidden = true));
mapBox.on("plotly_click", (event) => {
  const point = event.points[0];
  const row = point.pointNumber + (point.curveNumber ? marked.low : 0);
  showTip(event);
  showPrefix(nodeOf(row, 1));
  reveal(row, false);
});

document.getElementById("prefix").addEventListener("input", (event) => {
  const node = parsePrefix(event.target.value);
  showPrefix(node);
  if (!node) document.getElementById("map-state").textContent = "no item here has this prefix";
});
document.getElementById("clear").addEventListener("click", () => {
  document.getElementById("prefix").value = "";
  showPrefix(null);
});

// Dark or light, on the screen; on paper always light, and as wide as the paper.
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
matchMedia("print").addEventListener("change", redraw);
window.addEventListener("resize", drawMap);
