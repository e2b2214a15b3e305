// How often values are there, and the two ends of the range, which can be taken and moved.

import { label, step, ticks } from "../ticks.js";
import { Plot } from "./plot.js";

const BINS = 160;
const NEAR = 12; // CSS pixels
const BAR = 0.7; // em, the colours below
const GAP = 0.15;
const FAR = 4; // times the range: one hot pixel must not press all others together

/** `contrast` has the sample, `levels` the range; what is moved by hand goes into the settings. */
export class Histogram {
  constructor(canvas, { contrast, levels, settings }) {
    Object.assign(this, { canvas, contrast, levels, settings });
    this.counts = new Uint32Array(BINS);
    this.axis = null;
    this.plot = new Plot(canvas, (plot) => this.draw(plot));
    this.held = null; // "low", "high" or both
    canvas.addEventListener("pointerdown", (event) => this.down(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, () => (this.held = null));
    canvas.addEventListener("dblclick", () => settings.set("contrast", "percentile"));
  }

  ask() {
    this.plot.ask();
  }

  /** Where values lie in the plot, device pixels. */
  x(value) {
    return (this.plot.width * (value - this.axis[0])) / (this.axis[1] - this.axis[0]);
  }

  /** An axis that has the range, and all values but those far outside; kept for as long as it is about right, so that it does not shake. */
  findAxis(values) {
    if (this.held && this.axis) return;
    const { low, high } = this.levels;
    const far = FAR * (high - low);
    const least = Math.min(low, Math.max(values[0], low - far));
    const most = Math.max(high, Math.min(values.at(-1), high + far));
    const air = 0.04 * (most - least) || 0.5;
    const kept = this.axis && least >= this.axis[0] && most <= this.axis[1];
    if (kept && most - least > 0.7 * (this.axis[1] - this.axis[0])) return;
    this.axis = [least - air, most + air];
  }

  count(values) {
    const [from, to] = this.axis;
    this.counts.fill(0);
    const factor = BINS / (to - from);
    for (const value of values) this.counts[Math.min(BINS - 1, Math.floor((value - from) * factor))] += 1;
  }

  draw({ context, width, height, em, theme }) {
    const { values } = this.contrast;
    if (!values?.length) return;
    this.findAxis(values);
    this.count(values);
    const bottom = height - (BAR + 1.5) * em;
    const most = Math.log1p(this.counts.reduce((a, b) => Math.max(a, b), 0));
    context.fillStyle = theme.muted;
    const unit = width / BINS;
    this.counts.forEach((count, i) => {
      const tall = (Math.log1p(count) / most) * (bottom - 0.6 * em);
      context.fillRect(i * unit, bottom - tall, Math.max(1, unit - 0.5), tall);
    });
    this.colours(context, bottom + GAP * em, BAR * em, width);
    this.ends(context, bottom + (GAP + BAR) * em, theme, em);
    this.numbers(context, { width, height, em, theme });
  }

  colours(context, top, tall, width) {
    const gradient = context.createLinearGradient(this.x(this.levels.low), 0, this.x(this.levels.high), 0);
    for (let i = 0; i <= 16; i++) {
      const value = this.levels.low + (i / 16) * (this.levels.high - this.levels.low);
      const colour = this.levels.colours[this.levels.step(value)];
      gradient.addColorStop(i / 16, `rgb(${colour & 255} ${(colour >> 8) & 255} ${(colour >> 16) & 255})`);
    }
    context.fillStyle = gradient;
    context.fillRect(0, top, width, tall);
  }

  ends(context, bottom, theme, em) {
    for (const end of ["low", "high"]) {
      const x = Math.round(this.x(this.levels[end]));
      context.fillStyle = theme.accent;
      const wide = Math.max(1, Math.round(0.08 * em));
      context.fillRect(x - wide / 2, 0, wide, bottom);
      const size = 0.38 * em;
      const way = end === "low" ? size * 1.6 : -size * 1.6;
      context.beginPath();
      context.moveTo(x, 0);
      context.lineTo(x + way, 0);
      context.lineTo(x, size * 2);
      context.fill();
    }
  }

  numbers(context, { width, height, em, theme }) {
    const { values, decimals } = ticks(...this.axis, width / (5 * em));
    context.fillStyle = theme.muted;
    context.textBaseline = "bottom";
    for (const value of values) {
      const words = label(value, decimals);
      const half = context.measureText(words).width / 2;
      context.textAlign = "center";
      if (this.x(value) > half && this.x(value) < width - half) context.fillText(words, this.x(value), height);
    }
  }

  down(event) {
    if (!this.axis) return;
    const { low, high } = this.levels;
    const [x, near] = [event.offsetX * this.plot.ratio, NEAR * this.plot.ratio];
    const [a, b] = [Math.abs(x - this.x(low)), Math.abs(x - this.x(high))];
    if (Math.min(a, b) > near && (x < this.x(low) || x > this.x(high))) return;
    this.held = { what: Math.min(a, b) > near ? "both" : a < b ? "low" : "high", x, low, high };
    this.canvas.setPointerCapture(event.pointerId);
    event.preventDefault();
  }

  move(event) {
    if (!this.held) return;
    const { what, x, low, high } = this.held;
    const [from, to] = this.axis;
    const by = ((event.offsetX * this.plot.ratio - x) * (to - from)) / this.plot.width;
    const fine = step((to - from) / 2000);
    const round = (value) => Number((Math.round(value / fine) * fine).toPrecision(12));
    const range = { low: what === "high" ? low : round(low + by), high: what === "low" ? high : round(high + by) };
    if (range.high - range.low >= fine) byHand(this.settings, range);
  }
}

/** Take a range by hand. */
export function byHand(settings, { low, high }) {
  settings.set("low", low);
  settings.set("high", high);
  settings.set("contrast", "manual");
}
