// Lines over time, drawn by uPlot. What they say now stands beside them as text, so a chart can be read without being seen.

import { h, say } from "./dom.js";
import { clock } from "./format.js";

/** So many seconds are shown: as many as there are, but neither too few nor too many. */
const [SPAN_MIN, SPAN_MAX] = [60, 300];
const HEIGHT = 168;

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const dark = matchMedia("(prefers-color-scheme: dark)");
const COUNTS = [1, 2, 5].flatMap((digit) => [...Array(10).keys()].map((power) => digit * 10 ** power)).sort((a, b) => a - b);
const SIZES = [...Array(44).keys()].map((power) => 2 ** power);

/**
 * A chart of `lines` (`name`, `label`). `format` turns a value into text; `kind` is `count`, `size` or `share`; `top` is the least that the
 * scale goes up to. `draw` is given the columns of the history.
 */
export function chart({ title, lines, format, kind = "count", top = 1, signal }) {
  const values = lines.map(() => h("b", {}, "–"));
  const legend = lines.map((line, place) =>
    h("li", {}, h("i", { class: `swatch c${place + 1}`, "aria-hidden": "true" }), `${line.label} `, values[place]));
  const plot = h("div", { class: "plot", "aria-hidden": "true" });
  const element = h("figure", { class: "card chart" }, h("figcaption", {}, h("h2", {}, title), h("ul", {}, legend)), plot);
  let [drawn, data] = [null, null];

  const tell = (index) => values.forEach((value, place) => {
    const at = data[place + 1][index];
    say(value, at === null || at === undefined ? "–" : format(at));
  });

  function make() {
    drawn?.destroy();
    const options = settings({ lines, format, kind, top, width: plot.clientWidth, tell: (index) => tell(index ?? data[0].length - 1) });
    drawn = new uPlot(options, data, plot);
  }

  function draw(columns) {
    data = columns;
    if (!element.isConnected || !plot.clientWidth) return;
    if (drawn) drawn.setData(data, false);
    else make();
    const now = Date.now() / 1_000;
    drawn.setScale("x", { min: now - Math.min(SPAN_MAX, Math.max(SPAN_MIN, now - (data[0][0] ?? now))), max: now });
    if (drawn.cursor.idx === null || drawn.cursor.left < 0) tell(data[0].length - 1);
  }

  const resized = new ResizeObserver(() => drawn && plot.clientWidth && drawn.setSize({ width: plot.clientWidth, height: HEIGHT }));
  resized.observe(plot);
  dark.addEventListener("change", () => drawn && make(), { signal });
  signal.addEventListener("abort", () => {
    resized.disconnect();
    drawn?.destroy();
  });
  return { element, draw };
}

function settings({ lines, format, kind, top, width, tell }) {
  const axis = {
    stroke: colour("--muted"),
    font: "11px system-ui, sans-serif",
    grid: { stroke: colour("--grid"), width: 1 },
    ticks: { show: false },
  };
  return {
    width,
    height: HEIGHT,
    padding: [8, 4, 0, 0],
    legend: { show: false },
    cursor: { y: false, points: { size: 7 }, drag: { x: false, y: false }, sync: { key: "time" } },
    hooks: { setCursor: [(plot) => tell(plot.cursor.left < 0 ? null : plot.cursor.idx)] },
    scales: { x: { time: true, auto: false }, y: { range: (_, __, max) => [0, Math.max(top, (max ?? 0) * 1.15)] } },
    axes: [
      { ...axis, grid: { show: false }, space: 74, incrs: [15, 30, 60, 120], size: 26, values: (_, at) => at.map((one) => clock(one * 1_000)) },
      { ...axis, space: 36, size: 62, gap: 4, incrs: { size: SIZES, count: COUNTS, share: [0.5, ...COUNTS], part: [0.25, 0.5] }[kind], values: (_, at) => at.map(format) },
    ],
    series: [{}, ...lines.map((line, place) => ({
      label: line.label,
      stroke: colour(`--c${place + 1}`),
      width: 2,
      fill: place === 0 ? colour("--fill") : undefined,
      points: { show: false },
    }))],
  };
}
