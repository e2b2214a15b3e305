// What the server found at the cross, in shapes and along lines: words, a table, and curves.

import { scaled } from "./captions.js";
import { axes, curve, extent, Plot } from "./plot.js";
import { Shapes } from "./shapes.js";

const KEPT = 1800; // means of a shape
const SPAN = 60; // s that the curve shows
const APART = 150; // ms between two tables
const MEASURES = ["mean", "std", "min", "max", "sum", "pixels", "row", "col"];
const WORDS = { row: "centre Y", col: "centre X" };

/** A number as a table shows it: five digits, all of a whole one. */
export function number(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  if (Number.isInteger(value) && Math.abs(value) < 1e9) return String(value);
  const size = Math.abs(value);
  return size >= 1e6 || (size > 0 && size < 1e-3) ? value.toExponential(4) : String(Number(value.toPrecision(5)));
}

/** The value under the cross: a number, or three of a colour. */
export function valueOf(cross) {
  if (!cross) return "–";
  return Array.isArray(cross.value) ? cross.value.map(number).join(", ") : number(cross.value);
}

/** The table of statistics, the curve of the means, and the profiles. */
export class Measures {
  constructor({ table, means, profile, shapes, pixel }) {
    Object.assign(this, { table, shapes, pixel });
    this.history = new Map(); // by name: times and means
    this.notes = { rois: [], lines: [] };
    this.written = -Infinity;
    this.means = new Plot(means, (plot) => this.drawMeans(plot));
    this.profile = new Plot(profile, (plot) => this.drawProfiles(plot));
    shapes.addEventListener("change", () => this.layOut());
    shapes.addEventListener("select", () => this.layOut());
    this.layOut();
  }

  /** Take the notes of a frame. */
  take({ notes, timestamp }) {
    this.notes = { rois: notes.rois ?? [], lines: notes.lines ?? [] };
    for (const { id, mean } of this.notes.rois) this.remember(id, timestamp, mean);
    this.means.ask();
    this.profile.ask();
    this.write();
  }

  remember(id, time, mean) {
    const { times, means } = this.history.get(id) ?? { times: [], means: [] };
    this.history.set(id, { times, means });
    if (times.at(-1) === time) means.pop(), times.pop(); // the same frame, the shape was moved
    times.push(time);
    means.push(mean);
    if (times.length > 2 * KEPT) times.splice(0, KEPT), means.splice(0, KEPT);
  }

  /** Make the table for the shapes that there are; one that only moved has its column. */
  layOut() {
    const { areas, lines, list, selected } = this.shapes;
    const there = JSON.stringify([areas, lines].map((shapes) => shapes.map(({ id }) => id)).concat(selected));
    if (there === this.there) return;
    this.there = there;
    for (const id of this.history.keys()) if (!areas.some((area) => area.id === id)) this.history.delete(id);
    this.table.hidden = !areas.length;
    this.table.tHead.replaceChildren(row("th", ["", ...areas.map(({ id }) => this.name(id))]));
    const names = MEASURES.map((measure) => row("td", [WORDS[measure] ?? measure, ...areas.map(() => "–")]));
    this.table.tBodies[0].replaceChildren(...names);
    this.means.canvas.hidden = !areas.length;
    this.profile.canvas.hidden = !lines.length;
    this.table.closest("section").dataset.shapes = list.length;
    this.written = -Infinity;
    this.write();
    this.means.ask();
    this.profile.ask();
  }

  name(id) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = id;
    button.className = `shape mark-${Shapes.colour(id)}`;
    button.setAttribute("aria-pressed", String(this.shapes.selected === id));
    button.addEventListener("click", () => this.shapes.select(this.shapes.selected === id ? null : id));
    return button;
  }

  write() {
    const now = performance.now();
    clearTimeout(this.later);
    if (now - this.written < APART) {
      this.later = setTimeout(() => this.write(), APART);
      return;
    }
    this.written = now;
    this.shapes.areas.forEach(({ id }, i) => {
      const found = this.notes.rois.find((roi) => String(roi.id) === id);
      MEASURES.forEach((measure, k) => {
        const cell = this.table.tBodies[0].rows[k].cells[i + 1];
        const words = number(found?.[measure]);
        if (cell.textContent !== words) cell.textContent = words;
      });
    });
  }

  drawMeans(plot) {
    const all = [...this.history].filter(([, { times }]) => times.length > 1);
    const now = Math.max(...all.map(([, { times }]) => times.at(-1)));
    const shown = all.map(([id, { times, means }]) => {
      const begin = Math.max(0, times.findIndex((time) => now - time <= SPAN));
      return { id, xs: times.slice(begin).map((time) => time - now), ys: means.slice(begin) };
    });
    const up = extent(shown.map(({ ys }) => ys));
    if (!up) return;
    const first = Math.min(...shown.map(({ xs }) => xs[0]));
    const place = axes(plot, [Math.min(first, -1), 0], up, "s");
    for (const { id, xs, ys } of shown) curve(plot, place, xs, ys, plot.theme.marks[Shapes.colour(id)]);
  }

  drawProfiles(plot) {
    const [size, unit] = this.pixel();
    const shown = this.shapes.lines.flatMap((line) => {
      const ys = this.notes.lines.find(({ id }) => String(id) === line.id)?.values;
      if (!ys?.length) return [];
      const long = Math.hypot(line.row2 - line.row, line.col2 - line.col) * size;
      return [{ id: line.id, ys, xs: ys.map((_, i) => (long * i) / Math.max(1, ys.length - 1)) }];
    });
    const up = extent(shown.map(({ ys }) => ys));
    if (!up) return;
    const longest = Math.max(...shown.map(({ xs }) => xs.at(-1)));
    const [factor, name] = scaled(longest, unit);
    const place = axes(plot, [0, longest * factor], up, name);
    for (const { id, xs, ys } of shown) curve(plot, place, xs.map((x) => x * factor), ys, plot.theme.marks[Shapes.colour(id)]);
  }
}

function row(tag, cells) {
  const line = document.createElement("tr");
  cells.forEach((content, i) => {
    const cell = document.createElement(i === 0 && tag === "td" ? "th" : tag);
    cell.scope = tag === "th" ? "col" : i === 0 ? "row" : "";
    if (!cell.scope) cell.removeAttribute("scope");
    cell.append(content);
    line.append(cell);
  });
  return line;
}
