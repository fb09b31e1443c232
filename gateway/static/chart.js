/* Charts: lines over time by uPlot, and small bars. Colours come from the style sheet. */

import uPlot from "./vendor/uplot.js";
import { h } from "./dom.js";
import { compact, number } from "./format.js";

const TICK_PX = 74; // a label below the chart needs so much

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/**
 * Draw lines over a list of labels.
 *
 * `lines` are `{name, values, dashed, partial, colour}`: `partial` is the place of the
 * value whose period has not ended, and its part of the line is dotted. `labels` are whole, `ticks` short.
 */
export class LineChart {
  #plot = null;
  #drawn = null;

  constructor(height = 260) {
    this.height = height;
    this.tip = h("div.tip", { hidden: true });
    this.element = h("div.chart", { role: "img" });
    new ResizeObserver(() => this.#resize()).observe(this.element);
    addEventListener("raydo:theme", () => this.#drawn && this.draw(this.#drawn));
  }

  draw(what) {
    this.#drawn = what;
    this.element.setAttribute("aria-label", what.summary);
    this.#plot?.destroy();
    this.#plot = null;
    if (this.element.clientWidth) this.#make();
  }

  #resize() {
    const width = this.element.clientWidth;
    if (!width || !this.#drawn) return;
    if (this.#plot === null) this.#make();
    else if (this.#plot.width !== width) this.#plot.setSize({ width, height: this.height });
  }

  #make() {
    const { labels, ticks, lines } = this.#drawn;
    const series = lines.flatMap((line) => asSeries(line));
    const axis = { stroke: colour("--faint"), font: "11px Inter, system-ui, sans-serif", ticks: { show: false } };
    const options = {
      width: this.element.clientWidth,
      height: this.height,
      legend: { show: false },
      padding: [12, 14, 0, 0],
      cursor: { y: false, drag: { x: false, y: false }, points: { size: 8, fill: (u, i) => u.series[i].stroke(u, i) } },
      scales: { x: { time: false, range: (_, min, max) => (min === max ? [min - 1, max + 1] : [min, max]) }, y: { range: (_, _min, max) => [0, roof(max)] } },
      axes: [
        { ...axis, grid: { show: false }, gap: 8, size: 32, space: TICK_PX, incrs: [1, 2, 3, 5, 7, 10, 14, 30, 60, 90], values: (_, at) => at.map((i) => ticks[i] ?? "") },
        { ...axis, grid: { stroke: colour("--line-soft"), width: 1 }, gap: 8, size: 46, space: 44, values: (_, at) => at.map((v) => (Number.isInteger(v) ? compact(v) : "")) },
      ],
      series: [{}, ...series.map((each) => each.options)],
      hooks: { setCursor: [(plot) => this.#point(plot)], init: [(plot) => plot.over.append(this.tip)] },
    };
    this.#plot = new uPlot(options, [labels.map((_, i) => i), ...series.map((each) => each.values)], this.element);
  }

  #point(plot) {
    const { idx, left } = plot.cursor;
    const { labels, lines } = this.#drawn;
    this.tip.hidden = idx === null || idx === undefined || left < 0;
    if (this.tip.hidden) return;
    this.tip.replaceChildren(h("b", {}, labels[idx]), ...lines.filter((line) => line.values[idx] !== undefined && line.values[idx] !== null).map((line) =>
      h("span", {}, h("i", { style: { background: colour(line.colour) } }), line.name, h("em", {}, number(line.values[idx] ?? 0)), line.notes?.[idx] && h("small", {}, line.notes[idx]))));
    const right = left > plot.over.clientWidth / 2;
    this.tip.style.left = right ? "" : `${left + 14}px`;
    this.tip.style.right = right ? `${plot.over.clientWidth - left + 14}px` : "";
  }
}

/** Draw small bars, one for each value; `name(i)` says what each is. */
export function bars(values, name) {
  const top = Math.max(1, ...values);
  return h("div.bars", { role: "img", "aria-label": `${number(values.reduce((a, b) => a + b, 0))} in all, at most ${number(Math.max(0, ...values))} at once` },
    values.map((value, i) => h("i", { title: name(i), style: { height: value ? `${Math.max(6, (value / top) * 100)}%` : "2px" }, class: value ? "" : "zero" })));
}

function asSeries(line) {
  const stroke = () => colour(line.colour);
  const common = { stroke, width: line.dashed ? 1.5 : 2, points: { show: line.values.length < 3 }, spanGaps: false };
  if (line.dashed) return [{ values: line.values, options: { ...common, dash: [3, 4] } }];
  const fill = (plot) => {
    const { top, height } = plot.bbox;
    const shade = plot.ctx.createLinearGradient(0, top, 0, top + height);
    shade.addColorStop(0, colour("--accent-shade"));
    shade.addColorStop(1, colour("--accent-none"));
    return shade;
  };
  if (!line.partial) return [{ values: line.values, options: { ...common, fill } }];
  const last = line.partial;
  return [
    { values: line.values.map((value, i) => (i >= last ? null : value)), options: { ...common, fill } },
    { values: line.values.map((value, i) => (i < last - 1 || i > last ? null : value)), options: { ...common, fill, dash: [5, 5], points: { show: false } } },
  ];
}

function roof(max) {
  if (!max || max < 4) return 4;
  const unit = 10 ** Math.floor(Math.log10(max));
  return Math.ceil((max * 1.08) / (unit / 2)) * (unit / 2);
}
