// Rows over time, to be zoomed: drawn over the picture that the server made, which stays where scripts or uPlot are missing.
const HEIGHT = 230;
const day = new Intl.DateTimeFormat("en", { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", hour12: false });
const moment = new Intl.DateTimeFormat("en", { dateStyle: "medium", timeStyle: "medium", hour12: false });
const plots = new Set();

export function drawPlots(root) {
  if (typeof window.uPlot !== "function") return;
  for (const plot of plots) if (!plot.root.isConnected) { plot.destroy(); plots.delete(plot); }
  for (const figure of root.querySelectorAll("figure[data-plot]")) draw(figure);
}

function widthOf(figure) {
  return Math.max(figure.clientWidth - 28, 200);
}

function colour(name) {
  // A custom property of two colours is told as the one in use only where it is used.
  const probe = document.createElement("i");
  probe.className = `probe ${name}`;
  document.body.append(probe);
  const found = window.getComputedStyle(probe).color;
  probe.remove();
  return found;
}

function draw(figure) {
  const [at, rows, loaded, tones, states] = JSON.parse(figure.dataset.plot);
  if (at.length < 2) return;
  const colours = Object.fromEntries(["ok", "warn", "bad", "info", "idle"].map((tone) => [tone, colour(`p-${tone}`)]));
  const line = colour("p-line"), total = colour("p-text");
  const most = Math.max(...loaded, 1);
  // A load that brought nothing because it failed is still to be seen.
  const heights = loaded.map((value, place) => (tones[place] === "bad" || tones[place] === "warn" ? Math.max(value, most * 0.06) : value));
  const fills = tones.map((tone) => colours[tone]);
  const each = { unit: 3, values: () => fills };
  const number = new Intl.NumberFormat("en");
  const short = (_, values) => values.map((value) => new Intl.NumberFormat("en", { notation: "compact" }).format(value));
  const axis = { stroke: colour("p-muted"), font: "12px system-ui, sans-serif", grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1, size: 4 } };
  const options = {
    width: widthOf(figure), height: HEIGHT, cursor: { drag: { x: true, y: false } },
    scales: {
      // Loads stand side by side: several streams of one run are a minute apart, and two runs a day. The first and the last are whole.
      x: { time: false, range: (_, min, max) => [Math.max(min, 0) - 0.5, Math.min(max, at.length - 1) + 0.5] },
      rows: { range: (_, __, max) => [0, max || 1] }, total: { range: (_, __, max) => [0, (max || 1) * 1.05] },
    },
    axes: [
      { ...axis, size: 30, space: 96, grid: { show: false }, incrs: [1, 2, 5, 10, 20, 50, 100], values: (_, places) => places.map((place) => (Number.isInteger(place) && at[place] ? day.format(1000 * at[place]) : null)) },
      { ...axis, scale: "rows", size: 52, values: short },
      { ...axis, scale: "total", side: 1, size: 52, grid: { show: false }, values: short },
    ],
    series: [
      { label: "when", value: (_, place) => (place === null || place === undefined ? "–" : moment.format(1000 * at[place])) },
      {
        label: "brought", scale: "rows", width: 0, points: { show: false },
        paths: window.uPlot.paths.bars({ size: [0.75, 40, 1], disp: { fill: each, stroke: each } }),
        value: (_, __, ___, place) => (place === null || place === undefined ? "–" : `${number.format(loaded[place])} (${states[place]})`),
      },
      {
        label: "in the table", scale: "total", stroke: total, width: 1.5, spanGaps: true, points: { show: false },
        value: (_, value) => (value === null || value === undefined ? "–" : number.format(value)),
      },
    ],
    hooks: { setScale: [(plot, scale) => { if (scale === "x") mark(figure, plot, at.length); }] },
  };
  const data = [at.map((_, place) => place), heights, rows];
  const holder = document.createElement("div");
  holder.className = "plot";
  const plot = new window.uPlot(options, data, holder);
  plots.add(plot);
  for (const part of figure.querySelectorAll(":scope > svg:first-of-type, :scope > .axis")) part.setAttribute("hidden", "");
  figure.prepend(holder);
  new ResizeObserver(() => { if (figure.isConnected) plot.setSize({ width: widthOf(figure), height: HEIGHT }); }).observe(figure);
}

function mark(figure, plot, loads) {
  const { min, max } = plot.scales.x;
  if (min > 0 || max < loads - 1) figure.dataset.zoomed = "";
  else delete figure.dataset.zoomed;
}

// Colours are drawn into the canvas: another theme needs another drawing.
function again() {
  for (const figure of document.querySelectorAll("figure[data-plot]")) {
    figure.querySelector(":scope > .plot")?.remove();
    draw(figure);
  }
}
document.addEventListener("themechange", again);
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
