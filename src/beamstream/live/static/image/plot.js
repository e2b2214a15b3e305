// A small plot: axes with round numbers, curves, drawn at most a few times a second.

import { label, ticks } from "../ticks.js";
import { onThemeChange, theme } from "../theme.js";

const APART = 100; // ms between two drawings
const MARKS = 8; // colours for curves

/** A canvas that has the size of its place; `draw(plot)` is called when it was asked, soon. */
export class Plot {
  constructor(canvas, draw) {
    Object.assign(this, { canvas, width: 0, height: 0, asked: false, drawn: -Infinity });
    this.context = canvas.getContext("2d");
    this.fill = draw;
    this.style();
    new ResizeObserver(() => this.resize()).observe(canvas);
    onThemeChange(() => this.resize());
  }

  style() {
    const style = getComputedStyle(this.canvas);
    const marks = Array.from({ length: MARKS }, (_, i) => style.getPropertyValue(`--mark-${i}`));
    this.theme = { ...theme(this.canvas), marks };
  }

  resize() {
    this.style();
    this.ratio = devicePixelRatio || 1;
    this.width = this.canvas.width = Math.round(this.canvas.clientWidth * this.ratio);
    this.height = this.canvas.height = Math.round(this.canvas.clientHeight * this.ratio);
    this.em = this.theme.size * this.ratio;
    this.draw();
  }

  /** Draw soon. */
  ask() {
    if (this.asked || !this.width) return;
    this.asked = true;
    const wait = Math.max(0, this.drawn + APART - performance.now());
    setTimeout(() => requestAnimationFrame(() => this.draw()), wait);
  }

  draw() {
    this.asked = false;
    if (!this.width || !this.height) return;
    this.drawn = performance.now();
    this.context.clearRect(0, 0, this.width, this.height);
    this.context.font = `${this.em}px ${this.theme.family}`;
    this.fill(this);
  }
}

/** Axes around the room for curves; returns what puts a value into it. */
export function axes({ context, width, height, em, theme }, x, y, unit) {
  const across = span(x);
  const up = span(y);
  const rows = ticks(...up, height / (2.6 * em));
  const names = rows.values.map((value) => label(value, rows.decimals));
  const left = Math.ceil(Math.max(...names.map((name) => context.measureText(name).width), 2 * em) + 0.6 * em);
  const box = { left, top: 0.6 * em, width: width - left - 0.5 * em, height: height - 2.4 * em };
  const place = {
    box,
    x: (value) => box.left + (box.width * (value - across[0])) / (across[1] - across[0]),
    y: (value) => box.top + box.height * (1 - (value - up[0]) / (up[1] - up[0])),
  };
  context.textAlign = "right";
  context.textBaseline = "middle";
  rows.values.forEach((value, i) => {
    hairline(context, theme.grid, box.left, place.y(value), box.left + box.width, place.y(value));
    context.fillStyle = theme.muted;
    context.fillText(names[i], box.left - 0.5 * em, place.y(value));
  });
  columns(context, ticks(...across, box.width / (4.5 * em)), place, { em, theme, unit });
  return place;
}

function columns(context, { values, decimals }, { box, x }, { em, theme, unit }) {
  const bottom = box.top + box.height;
  hairline(context, theme.line, box.left, bottom, box.left + box.width, bottom);
  context.textBaseline = "top";
  context.textAlign = "center";
  context.fillStyle = theme.muted;
  const end = box.left + box.width - context.measureText(unit).width - 0.6 * em;
  for (const value of values) {
    hairline(context, theme.line, x(value), bottom, x(value), bottom + 0.3 * em);
    if (x(value) < end - em) context.fillText(label(value, decimals), x(value), bottom + 0.5 * em);
  }
  context.textAlign = "right";
  context.fillText(unit, box.left + box.width, bottom + 0.5 * em);
}

/** A curve through values, lifted where there is none. */
export function curve({ context, em }, place, xs, ys, colour) {
  context.save();
  context.beginPath();
  context.rect(place.box.left, 0, place.box.width, place.box.top + place.box.height + 1);
  context.clip();
  context.beginPath();
  let pen = false;
  for (let i = 0; i < ys.length; i++) {
    const there = ys[i] !== null && Number.isFinite(ys[i]);
    if (there && pen) context.lineTo(place.x(xs[i]), place.y(ys[i]));
    else if (there) context.moveTo(place.x(xs[i]), place.y(ys[i]));
    pen = there;
  }
  context.strokeStyle = colour;
  context.lineWidth = Math.max(1, 0.1 * em);
  context.lineJoin = "round";
  context.stroke();
  context.restore();
}

/** The least and greatest of many lists of numbers, with some air; null when there are none. */
export function extent(lists, air = 0.06) {
  let [low, high] = [Infinity, -Infinity];
  for (const list of lists) {
    for (const value of list) {
      if (value === null || !Number.isFinite(value)) continue;
      if (value < low) low = value;
      if (value > high) high = value;
    }
  }
  if (low > high) return null;
  const more = air * (high - low) || Math.abs(low) * 0.01 || 1;
  return [low - more, high + more];
}

function span([low, high]) {
  return high > low ? [low, high] : [low - 0.5, low + 0.5];
}

function hairline(context, colour, x1, y1, x2, y2) {
  context.strokeStyle = colour;
  context.lineWidth = 1;
  context.beginPath();
  context.moveTo(Math.round(x1) + 0.5, Math.round(y1) + 0.5);
  context.lineTo(Math.round(x2) + 0.5, Math.round(y2) + 0.5);
  context.stroke();
}
