// What is shown: rows, the picture made of them, the range; and what to do when rows or settings come.

import { Channels } from "./channels.js";
import { Rows } from "./rows.js";
import { Range, shown } from "./scale.js";
import { Waterfall } from "./waterfall.js";

export const MOST_ROWS = 1200; // that are kept here, and can be shown
const LOOK = 1000; // ms between two looks at the range

/** Rows and their picture. While it is paused, batches wait; of them only as many as there is room for. */
export class Picture {
  constructor(settings, colours) {
    this.settings = settings;
    this.colours = colours; // a function: the present table
    this.range = new Range();
    this.rows = this.waterfall = this.channels = null;
    this.waiting = [];
    this.paused = false;
    this.shown = 0; // spectra
    this.skipped = 0; // spectra that the server did not send
    this.next = null; // number of the spectrum that is to come
    this.looked = 0;
    this.applyRange();
  }

  /** Start anew with spectra of another shape, or another beam. */
  begin({ n_channels, frequency, first }) {
    this.rows = n_channels ? new Rows(MOST_ROWS, n_channels) : null;
    this.waterfall = n_channels ? new Waterfall(MOST_ROWS, n_channels) : null;
    this.channels = n_channels ? new Channels(n_channels, frequency) : null;
    this.waiting = [];
    this.next = first;
    this.range.forget();
    this.looked = 0;
  }

  /** Take a batch. */
  take(batch) {
    if (!this.rows || batch.channels !== this.rows.channels) return;
    this.waiting.push(batch);
    if (!this.paused) {
      this.show();
      return;
    }
    let room = this.rows.capacity;
    const from = this.waiting.findLastIndex((b) => (room -= b.times.length) <= 0);
    if (from > 0) this.waiting.splice(0, from);
  }

  /** How many spectra wait. */
  get behind() {
    return this.waiting.reduce((sum, batch) => sum + batch.times.length, 0);
  }

  /** Stop taking rows in, or go on with those that came meanwhile. */
  pause(paused) {
    this.paused = paused;
    if (!paused && this.rows) this.show();
  }

  show() {
    let fresh = 0;
    for (const batch of this.waiting.splice(0)) {
      this.count(batch);
      fresh += batch.times.length;
      for (let i = 0; i < batch.times.length; i++) {
        this.rows.push(batch.values.subarray(i * batch.channels, (i + 1) * batch.channels), batch.times[i]);
      }
    }
    const now = performance.now();
    const look = !this.range.found || now - this.looked > LOOK;
    if (look) this.looked = now;
    if (look && this.findRange()) this.repaint();
    else this.paint(fresh);
  }

  count(batch) {
    if (this.next !== null && batch.first > this.next) this.skipped += batch.first - this.next;
    const spectra = batch.many.reduce((sum, many) => sum + many, 0);
    this.next = batch.first + spectra;
    this.shown += spectra;
  }

  findRange() {
    const { settings } = this;
    if (!settings.get("auto")) return false;
    return this.range.find(this.rows, settings.get("rows"), settings.get("percentiles"), settings.get("decibel"));
  }

  /** The range or what it is of has been set: look at everything again. */
  applyRange() {
    this.range.forget();
    if (!this.settings.get("auto")) this.range.set(this.settings.get("min"), this.settings.get("max"));
    else if (this.rows) this.findRange();
    this.repaint();
  }

  repaint() {
    if (this.rows) this.paint(this.rows.capacity);
  }

  paint(number) {
    this.waterfall.paint(this.rows, number, this.colours(), this.range, this.settings.get("decibel"));
  }

  /** What is at a position of the axis and an age, null if nothing is. */
  at(position, age) {
    if (!this.rows || age >= this.rows.length) return null;
    const channel = Math.max(0, Math.min(this.rows.channels - 1, Math.floor(position)));
    const value = shown(this.rows.row(age)[channel], this.settings.get("decibel"));
    return { channel, time: this.rows.time(age), value };
  }
}
