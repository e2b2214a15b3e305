// Axes: round numbers, hairlines on whole device pixels, labels that never overlap.

import { label, ticks, timeLabel, timeStep } from "./ticks.js";

const TICK = 0.4; // em

/** Frequencies: labels under the waterfall, marks under both plots, a grid in the upper one. */
export function frequencyAxis(context, channels, plan, theme) {
  const { spectrum, waterfall, em } = plan;
  const { marks, decimals } = channels.ticks(spectrum.width / ((plan.compact ? 5 : 7) * em));
  context.textAlign = "center";
  context.textBaseline = "top";
  const below = waterfall.top + waterfall.height;
  for (const { value, at } of marks) {
    const x = Math.round(spectrum.left + at * spectrum.width);
    line(context, theme.grid, x, spectrum.top, x, spectrum.top + spectrum.height);
    line(context, theme.line, x, spectrum.top + spectrum.height, x, spectrum.top + spectrum.height + TICK * em);
    line(context, theme.line, x, below, x, below + TICK * em);
    context.fillStyle = theme.muted;
    context.fillText(label(value, decimals), x, below + 0.65 * em);
  }
  context.textAlign = "left";
  context.fillText(channels.unit, spectrum.left + spectrum.width + 0.5 * em, below + 0.65 * em);
}

/** Values: labels left of the upper plot, and a grid in it. */
export function valueAxis(context, range, unit, plan, theme) {
  const { spectrum, em } = plan;
  const { values, decimals } = ticks(range.bottom, range.top, spectrum.height / (2.6 * em));
  context.textAlign = "right";
  context.textBaseline = "middle";
  for (const value of values) {
    const y = Math.round(height(value, range, spectrum));
    line(context, theme.grid, spectrum.left, y, spectrum.left + spectrum.width, y);
    line(context, theme.line, spectrum.left - TICK * em, y, spectrum.left, y);
    context.fillStyle = theme.muted;
    context.fillText(label(value, decimals), spectrum.left - 0.7 * em, y);
  }
  context.textBaseline = "alphabetic";
  context.fillText(unit, spectrum.left - 0.7 * em, spectrum.top - 0.8 * em);
}

/** Times: a label where a round time lies between two rows; rows need not be evenly apart. */
export function timeAxis(context, rows, number, plan, theme) {
  const { waterfall, em } = plan;
  const there = Math.min(number, rows.length);
  context.textAlign = "right";
  context.textBaseline = "alphabetic";
  context.fillStyle = theme.muted;
  context.fillText("UTC", waterfall.left - 0.7 * em, waterfall.top - 0.4 * em);
  if (there < 2) return;
  const unit = waterfall.height / number;
  const span = Math.abs(rows.time(0) - rows.time(there - 1));
  const apart = timeStep(span, Math.max(1, (there * unit) / (3.2 * em)));
  for (const age of breaks(rows, there)) {
    const y = Math.round(waterfall.top + (age + 1) * unit);
    line(context, theme.page, waterfall.left, y, waterfall.left + waterfall.width, y);
  }
  context.textBaseline = "middle";
  let free = waterfall.top + 0.9 * em;
  for (const { time, at } of roundTimes(rows, there, apart)) {
    const y = Math.round(waterfall.top + (at + 0.5) * unit);
    line(context, theme.line, waterfall.left - TICK * em, y, waterfall.left, y);
    if (y < free || y > waterfall.top + waterfall.height - 0.4 * em) continue;
    context.fillText(timeLabel(time, apart), waterfall.left - 0.7 * em, y);
    free = y + 1.6 * em;
  }
}

/** The ages of rows that do not follow soon on the one before: nothing came, or clocks were set. */
function* breaks(rows, there) {
  const apart = Array.from({ length: there - 1 }, (_, age) => rows.time(age) - rows.time(age + 1));
  const usual = apart.toSorted((a, b) => a - b)[(there - 1) >> 1];
  for (const [age, seconds] of apart.entries()) {
    if (!(seconds >= 0 && seconds < Math.max(1, 4 * usual))) yield age;
  }
}

function* roundTimes(rows, there, apart) {
  for (let age = 0; age + 1 < there; age++) {
    const [newer, older] = [rows.time(age), rows.time(age + 1)];
    const turn = Math.floor(newer / apart + 1e-6);
    if (!(newer > older) || turn === Math.floor(older / apart + 1e-6)) continue;
    const time = Math.round(turn * apart * 100) / 100;
    yield { time, at: age + Math.min(1, (newer - time) / (newer - older)) };
  }
}

/** The colours of the range, along the axis of values. */
export function colourBar(context, table, range, plan, theme) {
  const { bar } = plan;
  const clip = (value) => Math.max(bar.top, Math.min(bar.top + bar.height, height(value, range, bar)));
  const [low, high] = [clip(range.low), clip(range.high)];
  context.imageSmoothingEnabled = true;
  context.drawImage(table, bar.left, high, bar.width, low - high);
  context.strokeStyle = theme.line;
  context.strokeRect(bar.left + 0.5, Math.round(high) + 0.5, bar.width - 1, Math.round(low - high) - 1);
}

/** Where a value lies in the upper plot. */
export function height(value, range, { top, height }) {
  return top + height * (1 - (value - range.bottom) / (range.top - range.bottom));
}

/** A frame around a plot. */
export function frame(context, { left, top, width, height }, theme) {
  context.strokeStyle = theme.line;
  context.lineWidth = 1;
  context.strokeRect(left - 0.5, top - 0.5, width + 1, height + 1);
}

/** A hairline. */
export function line(context, colour, x1, y1, x2, y2) {
  const half = (v) => Math.round(v) + 0.5;
  context.strokeStyle = colour;
  context.lineWidth = 1;
  context.beginPath();
  if (x1 === x2) {
    context.moveTo(half(x1), Math.round(y1));
    context.lineTo(half(x1), Math.round(y2));
  } else {
    context.moveTo(Math.round(x1), half(y1));
    context.lineTo(Math.round(x2), half(y1));
  }
  context.stroke();
}
