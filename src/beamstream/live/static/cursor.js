// The cursor: a cross over both plots, and what lies under it in words; by pointer or by arrow keys.

import { inside } from "./layout.js";
import { iso } from "./ticks.js";

/** Keeps a place as (fraction of the axis, age of the row), so that it survives another size of the window. */
export class Cursor {
  constructor(canvas, readout, view, picture, settings, markers) {
    Object.assign(this, { canvas, readout, view, picture, settings, markers });
    this.context = canvas.getContext("2d");
    this.place = null;
    canvas.addEventListener("pointermove", (event) => this.point(event));
    canvas.addEventListener("pointerdown", (event) => this.point(event));
    canvas.addEventListener("click", (event) => this.mark(event));
    canvas.addEventListener("pointerleave", () => this.move(null));
    canvas.addEventListener("keydown", (event) => this.key(event));
    canvas.addEventListener("blur", () => this.move(null));
    view.addEventListener("resize", () => this.resize());
    picture.compared = () => this.row();
  }

  point(event) {
    this.readout.ariaLive = "off";
    this.move(this.placeOf(...this.pixel(event)));
  }

  /** A marker where there is none, none where there was one. */
  mark(event) {
    const [x, y] = this.pixel(event);
    const found = this.markers.at(x, y, this.view.plan);
    const place = this.placeOf(x, y);
    if (found) this.markers.remove(found.place);
    else if (place) this.markers.add(place);
  }

  pixel(event) {
    const { ratio } = this.view;
    const box = this.canvas.getBoundingClientRect();
    return [(event.clientX - box.left) * ratio, (event.clientY - box.top) * ratio];
  }

  /** What lies under a point of the canvas; `newest` in the upper plot. */
  placeOf(x, y) {
    const { spectrum, waterfall } = this.view.plan;
    const fraction = (x - spectrum.left) / spectrum.width;
    if (inside(spectrum, x, y)) return { fraction, age: 0, newest: true };
    if (!inside(waterfall, x, y)) return null;
    return { fraction, age: Math.floor(((y - waterfall.top) / waterfall.height) * this.settings.get("rows")) };
  }

  key(event) {
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    const { rows } = this.picture;
    if (!steps || !rows || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    const far = event.shiftKey ? 10 : 1;
    const { fraction, age } = this.place ?? { fraction: 0.5, age: 0 };
    const channel = Math.floor(fraction * rows.channels) + far * steps[0];
    this.readout.ariaLive = "polite";
    this.move({
      fraction: (Math.max(0, Math.min(rows.channels - 1, channel)) + 0.5) / rows.channels,
      age: Math.max(0, Math.min(this.settings.get("rows") - 1, age + far * steps[1])),
    });
  }

  move(place) {
    this.place = place;
    this.view.ask();
    this.draw();
  }

  /** The row under the cursor, to be drawn beside the newest; null for the newest itself. */
  row() {
    const { rows } = this.picture;
    return this.place && rows && this.place.age > 0 && this.place.age < rows.length ? rows.row(this.place.age) : null;
  }

  resize() {
    const { canvas, plan, ratio } = this.view;
    this.canvas.width = canvas.width;
    this.canvas.height = canvas.height;
    this.readout.style.right = `${(canvas.width - plan.spectrum.left - plan.spectrum.width) / ratio}px`;
    this.draw();
  }

  draw() {
    const { context, canvas, place } = this;
    const { plan, theme, ratio } = this.view;
    context.clearRect(0, 0, canvas.width, canvas.height);
    this.tell();
    if (!plan || !this.picture.rows) return;
    this.cross(place, plan, theme, ratio);
    this.markers.draw(context, plan, theme, ratio);
  }

  cross(place, plan, theme, ratio) {
    if (!place) return;
    const { context } = this;
    const { spectrum, waterfall } = plan;
    const x = Math.round(waterfall.left + place.fraction * waterfall.width) + 0.5;
    const y = waterfall.top + ((place.age + 0.5) * waterfall.height) / this.settings.get("rows");
    for (const [colour, width] of [["rgb(0 0 0 / 0.5)", 3 * ratio], [theme.accent, ratio]]) {
      context.strokeStyle = colour;
      context.lineWidth = Math.max(1, Math.round(width));
      context.beginPath();
      context.moveTo(x, spectrum.top);
      context.lineTo(x, spectrum.top + spectrum.height);
      context.moveTo(x, waterfall.top);
      context.lineTo(x, waterfall.top + waterfall.height);
      context.moveTo(waterfall.left, Math.round(y) + 0.5);
      context.lineTo(waterfall.left + waterfall.width, Math.round(y) + 0.5);
      context.stroke();
    }
  }

  /** Say what lies under the cursor; without one, when the newest row was measured. */
  tell() {
    const { rows, channels } = this.picture;
    let text = "";
    if (rows?.length && this.place) {
      const position = this.place.fraction * channels.number;
      const found = this.picture.at(position, this.place.age);
      const value = found ? `${when(found.time)}   ${this.value(found.value)}` : "nothing yet";
      text = `${channels.text(position)}   ${value}`;
    } else if (rows?.length) {
      text = when(rows.time(0));
    }
    if (this.readout.textContent !== text) this.readout.textContent = text;
  }

  value(value) {
    if (!Number.isFinite(value)) return "no value";
    return this.settings.get("decibel") ? `${value.toFixed(2)} dB` : Number(value.toPrecision(5)).toString();
  }
}

function when(time) {
  return `${iso(time).join(" ")} UTC`;
}
