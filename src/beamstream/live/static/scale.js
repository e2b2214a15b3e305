// From values to the scale that is shown, and the range of it that gets colours.

import { step } from "./ticks.js";

const SAMPLE = 40_000; // values that a range is found from
const TOLERANCE = 0.06; // of the range: changes below that are not worth a new picture

/** Return a value as it is shown: in dB or as it is; NaN where that does not exist. */
export function shown(value, decibel) {
  return decibel ? (value > 0 ? 10 * Math.log10(value) : NaN) : value;
}

/** A row as it is shown. */
export function shownRow(row, decibel) {
  if (!decibel) return row;
  const converted = new Float32Array(row.length);
  for (let i = 0; i < row.length; i++) converted[i] = row[i] > 0 ? 10 * Math.log10(row[i]) : NaN;
  return converted;
}

/** The range with colours, `low` to `high`, and the one of the curve's axis, `bottom` to `top`. */
export class Range {
  constructor() {
    this.become(0, 1, 0, 1);
    this.found = false;
  }

  /** Take what was asked for. */
  set(low, high) {
    if (high > low) this.become(low, high, low, high);
  }

  /** Find the range in the newest rows; return whether it changed by so much that it was taken. */
  find(rows, number, percentile, decibel) {
    const sorted = sample(rows, number, decibel);
    if (!sorted.length) return false;
    const at = (percent) => sorted[Math.round((percent / 100) * (sorted.length - 1))];
    let [low, high] = [at(percentile), at(100 - percentile)];
    if (!(high > low)) [low, high] = [low - 0.5, low + 0.5];
    const most = at(100);
    if (this.found && this.fits(low, high, most)) return false;
    const width = high - low;
    const fine = step(width / 40);
    const [down, up] = [(v) => Math.floor(v / fine) * fine, (v) => Math.ceil(v / fine) * fine];
    this.become(down(low), up(high), down(low - 0.08 * width), up(Math.max(high, most) + 0.06 * width));
    this.found = true;
    return true;
  }

  /** Whether the present range is near enough to be kept: a picture that changes its colours is restless. */
  fits(low, high, most) {
    const slack = TOLERANCE * (this.high - this.low);
    const near = Math.abs(low - this.low) < slack && Math.abs(high - this.high) < slack;
    return near && most <= this.top && most > this.top - 0.4 * (this.top - this.bottom);
  }

  /** Forget what was found: the next look finds it anew. */
  forget() {
    this.found = false;
  }

  become(low, high, bottom, top) {
    Object.assign(this, { low, high, bottom, top });
  }
}

/** Return values of some of the newest rows, sorted; whole rows, so that a narrow line is not missed. */
function sample(rows, number, decibel) {
  const length = Math.min(number, rows.length);
  const every = Math.max(1, Math.ceil((length * rows.channels) / SAMPLE));
  const values = new Float32Array(Math.ceil(length / every) * rows.channels);
  let n = 0;
  for (let age = 0; age < length; age += every) {
    for (const value of rows.row(age)) {
      const seen = shown(value, decibel);
      if (Number.isFinite(seen)) values[n++] = seen;
    }
  }
  return values.subarray(0, n).sort();
}
