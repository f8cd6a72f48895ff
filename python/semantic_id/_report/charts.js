// The curves of levels and the bars of buckets, in the colours of the page.

const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const palette = () => Array.from({ length: 10 }, (_, i) => style(`--c${i}`));
const drawn = []; // functions that put on the colours of the page

function base(more) {
  const axis = { gridcolor: style("--line"), linecolor: style("--line"), zeroline: false, fixedrange: true, automargin: true };
  return {
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: style("--font"), size: 12, color: style("--grey") },
    margin: { l: 8, r: 8, t: 30, b: 8 },
    showlegend: false,
    dragmode: false,
    hoverlabel: { bgcolor: style("--card"), bordercolor: style("--line"), font: { color: style("--ink") } },
    ...more,
    xaxis: { ...axis, ...more.xaxis },
    yaxis: { ...axis, rangemode: "tozero", ...more.yaxis },
  };
}

// Whole numbers: of few items a step of the axis is one.
const countAxis = (largest) => ({ tickformat: ",d", ...(largest < 5 ? { dtick: 1 } : { nticks: 4 }) });
const percent = (share) => `${Number((100 * share).toPrecision(share > 0.99 ? 3 : 2))} %`;

const plain = { displayModeBar: false, responsive: true };

function drawLevels() {
  const ordinals = ["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth"];
  const place = document.getElementById("level-charts");
  data.use.forEach(({ step, codes, counts }, level) => {
    const size = data.sizes[level];
    const [shown, used] = [codes, counts].map((packed) => Array.from(unpack(packed)));
    const code = (c) => (parts[level] && parts[level].get(c)) || String(c);
    const name = `${ordinals[level] || `${level + 1}th`} level`;
    const box = element("div", { class: "chart", role: "img", "aria-label": `Items by code, ${name}; see the table` });
    place.append(box);
    const draw = () =>
      Plotly.react(
        box,
        [
          {
            type: "bar",
            x: shown.map((_, i) => i * step + 1),
            y: used,
            customdata: shown.map(code),
            hovertemplate: "code %{customdata}: %{y:,} items<extra></extra>",
            marker: { color: style("--accent"), line: { width: 0 } },
          },
        ],
        base({
          title: { text: name, font: { size: 14, color: style("--ink") }, x: 0, xanchor: "left", y: 0.98 },
          bargap: size > 40 ? 0 : 0.15,
          xaxis: { showgrid: false, showticklabels: false, title: { text: `${number(size)} codes, by use` } },
          yaxis: countAxis(used[0]),
          shapes: [
            {
              type: "line", xref: "paper", x0: 0, x1: 1, y0: data.n / size, y1: data.n / size,
              line: { dash: "dash", width: 1.5, color: style("--ink") },
            },
          ],
        }),
        plain,
      );
    drawn.push(draw);
  });
}

function drawBuckets() {
  const box = document.getElementById("bucket-chart");
  const draw = () =>
    Plotly.react(
      box,
      [
        {
          type: "bar",
          x: data.bars.map((bar) => bar[0]),
          y: data.bars.map((bar) => bar[2]),
          customdata: data.bars.map((bar) => bar[1]),
          text: data.bars.map((bar) => percent(bar[2] / data.n)),
          textposition: "outside",
          cliponaxis: false,
          hovertemplate: "%{y:,} items on %{customdata:,} ids<extra></extra>",
          marker: { color: data.bars.map((_, i) => style(i ? "--warn" : "--accent")) },
        },
      ],
      base({
        bargap: 0.3,
        xaxis: { type: "category", showgrid: false, title: { text: "items on an id" } },
        yaxis: { ...countAxis(Math.max(...data.bars.map((bar) => bar[2]))), title: { text: "items" } },
      }),
      plain,
    );
  drawn.push(draw);
}

const redraw = () => drawn.forEach((draw) => draw());

drawLevels();
drawBuckets();
redraw();
