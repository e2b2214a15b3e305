// Markers: places in frequency and time that are kept, read again with each new row, and compared with each other.

import { height } from "./axes.js";
import { shown } from "./scale.js";

export const MOST = 12;
const REACH = 0.7; // em around a mark that belongs to it

/** What a browser may remember: `{value, unit, time, power}`, of which `time` is null for the newest row. */
export function valid(markers) {
  const number = (v) => v === null || Number.isFinite(v);
  const one = (m) => m && Number.isFinite(m.value) && typeof m.unit === "string" && number(m.time) && number(m.power);
  return Array.isArray(markers) && markers.length <= MOST && markers.every(one);
}

/**
 * The markers of one page. Event "change": there are others. The first one is what the others are compared with.
 *
 * A marker in the waterfall belongs to a time: it moves with its row, and keeps the value when the row is gone. One in
 * the spectrum above belongs to the newest row, whichever that is.
 */
export class Markers extends EventTarget {
  constructor(settings, picture) {
    super();
    Object.assign(this, { settings, picture });
    settings.on(["markers"], () => this.dispatchEvent(new Event("change")));
  }

  /** Those that belong to the present axis; each with its `place` among all. */
  get here() {
    const unit = this.picture.channels?.unit;
    return this.settings.get("markers").map((marker, place) => ({ ...marker, place })).filter((m) => m.unit === unit);
  }

  /** Set one where the cursor is; without a cursor, on the strongest channel of the newest row. */
  add(place) {
    const { rows, channels } = this.picture;
    if (!rows?.length) return;
    const at = place ?? { fraction: (strongest(rows.row(0)) + 0.5) / rows.channels, age: 0, newest: true };
    if (at.age >= rows.length) return;
    const channel = Math.max(0, Math.min(rows.channels - 1, Math.floor(at.fraction * rows.channels)));
    const power = rows.row(at.age)[channel];
    this.keep([
      ...this.settings.get("markers").slice(-MOST + 1),
      {
        value: channels.value(channel + 0.5),
        unit: channels.unit,
        time: at.newest ? null : rows.time(at.age),
        power: Number.isFinite(power) ? power : null,
      },
    ]);
  }

  remove(place) {
    this.keep(this.settings.get("markers").filter((_, other) => other !== place));
  }

  removeLast() {
    const last = this.here.at(-1);
    if (last) this.remove(last.place);
  }

  clear() {
    const { here } = this;
    this.keep(this.settings.get("markers").filter((_, place) => !here.some((marker) => marker.place === place)));
  }

  /** Compare with this one from now on. */
  lead(place) {
    const all = this.settings.get("markers");
    this.keep([all[place], ...all.filter((_, other) => other !== place)]);
  }

  keep(markers) {
    this.settings.set("markers", markers);
  }

  /** What a marker shows at the moment: `{channel, age, time, value}`; age is null where its row is gone. */
  read({ value, time, power }) {
    const { rows, channels } = this.picture;
    const channel = Math.floor(channels.position(value));
    const inside = Math.abs(channels.value(channel + 0.5) - value) <= Math.abs(channels.step);
    const decibel = this.settings.get("decibel");
    const age = !inside || !rows.length ? null : time === null ? 0 : ageOf(rows, time);
    const found = age === null ? (power ?? NaN) : rows.row(age)[channel];
    return { channel: inside ? channel : null, age, time: time ?? rows.time(0), value: shown(found, decibel) };
  }

  /** The marker under a point of the canvas, null if there is none. */
  at(x, y, plan) {
    const near = REACH * plan.em;
    const hit = ({ marker, x: left, y: top }) => Math.hypot(x - left, y - top) < near && marker;
    return this.spots(plan).map(hit).find(Boolean) ?? null;
  }

  /** Where marks lie on the canvas, device pixels. */
  spots(plan) {
    const { spectrum, waterfall } = plan;
    const unit = waterfall.height / this.settings.get("rows");
    return this.here.flatMap((marker, index) => {
      const read = this.read(marker);
      if (read.channel === null) return [];
      const x = waterfall.left + ((read.channel + 0.5) * waterfall.width) / this.picture.rows.channels;
      const down = marker.time === null ? null : read.age === null ? Infinity : (read.age + 0.5) * unit;
      const there = down !== null && down < waterfall.height;
      const level = height(read.value, this.picture.range, spectrum);
      const top = Math.max(spectrum.top, Math.min(spectrum.top + spectrum.height, Number.isFinite(level) ? level : Infinity));
      return [{ marker, index, x, y: there ? waterfall.top + down : top, there, level: top }];
    });
  }

  /** Draw all of them over both plots. */
  draw(context, plan, theme, ratio) {
    if (!this.picture.rows?.length) return;
    context.save();
    context.font = `600 ${0.82 * plan.em}px ${theme.family}`;
    context.textAlign = "center";
    context.textBaseline = "middle";
    for (const { index, x, y, there, level } of this.spots(plan)) {
      stem(context, plan, theme, ratio, x, there ? y : null);
      dot(context, theme, ratio, x, level, plan.em);
      badge(context, theme, x, there ? y : plan.spectrum.top + 0.1 * plan.em, index + 1, plan.em, ratio);
    }
    context.restore();
  }
}

/** A line that leads through the spectrum, and down to the row. */
function stem(context, { spectrum, waterfall }, theme, ratio, x, down) {
  context.strokeStyle = theme.accent;
  context.lineWidth = Math.max(1, Math.round(ratio));
  const at = Math.round(x) + 0.5;
  context.setLineDash([3 * ratio, 3 * ratio]);
  context.beginPath();
  context.moveTo(at, spectrum.top);
  context.lineTo(at, spectrum.top + spectrum.height);
  if (down !== null) {
    context.moveTo(at, waterfall.top);
    context.lineTo(at, down);
  }
  context.stroke();
  context.setLineDash([]);
}

function dot(context, theme, ratio, x, y, em) {
  context.fillStyle = theme.accent;
  context.strokeStyle = theme.page;
  context.lineWidth = 1.5 * ratio;
  context.beginPath();
  context.arc(x, y, 0.24 * em, 0, 7);
  context.fill();
  context.stroke();
}

function badge(context, theme, x, y, number, em, ratio) {
  context.fillStyle = theme.page;
  context.strokeStyle = theme.accent;
  context.lineWidth = 1.5 * ratio;
  context.beginPath();
  context.arc(x, y, 0.68 * em, 0, 7);
  context.fill();
  context.stroke();
  context.fillStyle = theme.ink;
  context.fillText(String(number), x, y + 0.05 * em);
}

function strongest(row) {
  let best = 0;
  for (let i = 1; i < row.length; i++) if (row[i] > row[best] || !Number.isFinite(row[best])) best = i;
  return best;
}

/** The age of the row that was measured at a time; null if it is gone, or not there. */
function ageOf(rows, time) {
  for (let age = 0; age < rows.length; age++) {
    if (rows.time(age) === time) return age;
  }
  return null;
}
