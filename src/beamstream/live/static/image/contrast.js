// The range that gets colours: found in what came, or as it was set by hand.

import { within } from "../quantiles.js";
import { contains } from "./shapes.js";

const SAMPLE = 40_000; // values
const LOOK = 250; // ms between two looks
const TOLERANCE = 0.04; // of the range: changes below that are not worth other colours
const DECADES = 1e-3; // of the upper end, the least lower end that is found for a logarithm
const HIGHEST = { u1: 255, u2: 65535 }; // by the end of the dtype

export const WAYS = ["percentile", "extremes", "region", "full", "manual"];

/** Keeps the levels as the settings want them. Event: "found", when that was later than the frame. */
export class Contrast extends EventTarget {
  constructor(settings, levels, shapes) {
    super();
    Object.assign(this, { settings, levels, shapes });
    this.scene = this.values = null;
    this.looked = -Infinity;
    this.found = false;
  }

  /** Look at a frame, now or as soon as it is time if it is still the newest then. */
  look(frame) {
    const wait = this.found ? this.looked + LOOK - performance.now() : 0;
    clearTimeout(this.later);
    if (wait > 0) {
      this.later = setTimeout(() => {
        this.look(frame);
        this.dispatchEvent(new Event("found"));
      }, wait);
      return;
    }
    this.looked = performance.now();
    this.values = sample(frame);
    const way = this.settings.get("contrast");
    if (way === "manual") this.levels.set({ low: this.settings.get("low"), high: this.settings.get("high") });
    else this.take(this.range(way, frame), way === "full");
    this.found = true;
  }

  /** Look again at the next chance: settings or what is shown are others now. */
  forget() {
    this.found = false;
  }

  range(way, frame) {
    if (way === "full") return [0, this.scene.full_scale ?? HIGHEST[this.scene.dtype.slice(-2)] ?? this.values.at(-1)];
    if (way === "extremes") return extremes(frame);
    const area = way === "region" ? (this.shapes.get(this.shapes.selected) ?? this.shapes.areas[0]) : null;
    const values = area && area.shape !== "line" ? sample(frame, area) : this.values;
    const percent = this.settings.get("percentiles");
    return within(values, percent / 100, 1 - percent / 100);
  }

  take([low, high], exact) {
    if (!Number.isFinite(low) || !Number.isFinite(high)) return;
    const { levels } = this;
    if (levels.log && !exact) low = Math.max(low, high * DECADES);
    if (!(high > low)) high = low + (Math.abs(low) * 1e-3 || 1);
    const slack = exact ? 0 : levels.log ? 3 * TOLERANCE : TOLERANCE; // noise at the lower end is much on its scale
    const near = Math.abs(levels.fraction(low)) < slack && Math.abs(levels.fraction(high) - 1) < slack;
    if (!this.found || !near) levels.set({ low, high });
  }
}

/** The least and the greatest of all finite values that came. */
function extremes({ pixels, scale, offset }) {
  let [low, high] = [Infinity, -Infinity];
  for (let i = 0; i < pixels.length; i++) {
    if (pixels[i] < low && pixels[i] > -Infinity) low = pixels[i];
    if (pixels[i] > high && pixels[i] < Infinity) high = pixels[i];
  }
  return [low * scale + offset, high * scale + offset];
}

/** Return some of the finite values of a frame, or of an area in it, sorted; evenly from everywhere. */
export function sample(frame, area = null) {
  const { pixels, channels, scale, offset, region, bin } = frame;
  const at = area ? reached(area, frame) : { top: 0, left: 0, rows: frame.rows, cols: frame.cols };
  const every = Math.max(1, Math.ceil(Math.sqrt((at.rows * at.cols * channels) / SAMPLE)));
  const values = new Float32Array(Math.ceil(at.rows / every) * Math.ceil(at.cols / every) * channels);
  let n = 0;
  for (let row = at.top; row < at.top + at.rows; row += every) {
    for (let col = at.left; col < at.left + at.cols; col += every) {
      const there = !area || contains(area, region.row + (row + 0.5) * bin, region.col + (col + 0.5) * bin);
      for (let k = 0; there && k < channels; k++) {
        const value = pixels[(row * frame.cols + col) * channels + k] * scale + offset;
        if (Number.isFinite(value)) values[n++] = value;
      }
    }
  }
  return values.subarray(0, n).sort();
}

/** The rows and columns that came of an area. */
function reached(area, { region, bin, rows, cols }) {
  const clip = (value, most) => Math.max(0, Math.min(most, value));
  const top = clip(Math.floor((area.row - region.row) / bin), rows);
  const left = clip(Math.floor((area.col - region.col) / bin), cols);
  const bottom = clip(Math.ceil((area.row + area.rows - region.row) / bin), rows);
  const right = clip(Math.ceil((area.col + area.cols - region.col) / bin), cols);
  return { top, left, rows: bottom - top, cols: right - left };
}
