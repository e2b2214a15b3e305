// The waterfall as a picture: one pixel a value, made once when a row comes.

import { shownRow } from "./scale.js";

/**
 * A ring of picture rows in a canvas of its own. A row lies so that the newest is above older ones; the seam
 * between the last and the first row of the canvas wanders, and `draw` joins what is on both sides of it.
 */
export class Waterfall {
  constructor(capacity, channels) {
    this.capacity = capacity;
    this.canvas = document.createElement("canvas");
    this.canvas.width = channels;
    this.canvas.height = capacity;
    this.context = this.canvas.getContext("2d");
    this.image = this.context.createImageData(channels, capacity);
    this.pixels = new Uint32Array(this.image.data.buffer);
  }

  line(slot) {
    return this.capacity - 1 - slot;
  }

  /** Colour rows by their ages, `number` of the newest. */
  paint(rows, number, colours, range, decibel) {
    const newest = Math.min(number, rows.length);
    for (let age = 0; age < newest; age++) this.colour(rows, age, colours, range, decibel);
    if (newest > this.capacity / 8) {
      this.context.putImageData(this.image, 0, 0);
      return;
    }
    for (let age = 0; age < newest; age++) {
      this.context.putImageData(this.image, 0, 0, 0, this.line(rows.slot(age)), rows.channels, 1);
    }
  }

  colour(rows, age, colours, range, decibel) {
    const row = shownRow(rows.row(age), decibel);
    const factor = (colours.length - 1) / (range.high - range.low);
    const last = colours.length - 1;
    let at = this.line(rows.slot(age)) * rows.channels;
    for (let i = 0; i < row.length; i++) {
      const index = Math.round((row[i] - range.low) * factor);
      this.pixels[at++] = index !== index ? 0 : colours[index < 0 ? 0 : index > last ? last : index]; // NaN: nothing
    }
  }

  /** Draw the newest `number` rows into a rectangle, the newest on top. */
  draw(context, rows, number, { left, top, width, height }) {
    const there = Math.min(number, rows.length);
    if (!there) return;
    const unit = height / number;
    context.imageSmoothingEnabled = unit < 1 || width < rows.channels;
    context.imageSmoothingQuality = "medium";
    const from = this.line(rows.slot(0));
    const above = Math.min(there, this.capacity - from);
    const piece = (line, n, at) =>
      context.drawImage(this.canvas, 0, line, rows.channels, n, left, top + at * unit, width, n * unit);
    piece(from, above, 0);
    if (above < there) piece(0, there - above, above);
  }
}
