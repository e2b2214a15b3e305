// Words on the image: which frame it is, and how long a thing in it is.

import { iso } from "../ticks.js";
import { text } from "./marks.js";

const WHITE = "#ffffff";
const UNITS = [["nm", 1e-9], ["µm", 1e-6], ["mm", 1e-3], ["m", 1]];
const SPELLED = { um: "µm", "μm": "µm", micron: "µm", microns: "µm", micrometer: "µm" };

/** Lines of text about a frame, the first ones the most wanted. */
export function captions(frame, status) {
  const run = status?.run;
  const lines = [];
  const which = [run && `run ${run.scan_id ?? run.uid?.slice(0, 8)}`, run?.plan].filter(Boolean);
  if (which.length) lines.push(which.join("  "));
  const exposure = Number.isFinite(status?.exposure) ? `  exposure ${seconds(status.exposure)}` : "";
  lines.push(`frame ${frame.uniqueId}${exposure}`);
  lines.push(`${iso(frame.timestamp, 3).join(" ")} UTC`);
  if (frame.notes?.shows) lines.push(frame.notes.shows);
  const { flat, dark, pipeline } = status?.correction ?? {};
  if (frame.treated) lines.push([dark && "dark", flat && "flat", pipeline && "pipeline"].filter(Boolean).join(", ") || "treated");
  return lines;
}

function seconds(value) {
  return value < 1 ? `${Number((value * 1000).toPrecision(4))} ms` : `${Number(value.toPrecision(4))} s`;
}

/** Draw lines of text at the upper left. */
export function drawCaptions(context, lines, { em, family }) {
  context.textBaseline = "alphabetic";
  context.textAlign = "left";
  lines.forEach((line, i) => text(context, line, 0.8 * em, (1.6 + 1.45 * i) * em, WHITE, `${em}px ${family}`));
}

/** The unit in which a length is short to say, and what to multiply with: 20000 µm are 20 mm. */
export function scaled(length, unit) {
  const known = UNITS.find(([name]) => name === (SPELLED[unit] ?? unit));
  if (!known) return [1, unit];
  const metres = length * known[1];
  const [name, factor] = UNITS.findLast(([, f]) => metres >= f * 0.999) ?? UNITS[0];
  return [known[1] / factor, name];
}

/** A length of round size for a bar: device pixels, and in words. `size` is that of a pixel of the frame. */
export function bar(most, zoom, size, unit) {
  const [factor, name] = scaled((most / zoom) * size, unit);
  const longest = (most / zoom) * size * factor;
  const length = [5, 2, 1].map((digit) => digit * 10 ** Math.floor(Math.log10(longest))).find((l) => l <= longest);
  return { pixels: (length / (size * factor)) * zoom, words: `${plain(length)} ${name}` };
}

function plain(value) {
  return String(Number(value.toPrecision(6)));
}

/** Draw the bar at the lower left. */
export function drawBar(context, { pixels, words }, height, { em, family }) {
  const [x, y, thick] = [Math.round(0.8 * em), Math.round(height - 0.9 * em), Math.max(2, Math.round(0.22 * em))];
  context.fillStyle = "rgb(0 0 0 / 0.6)";
  context.fillRect(x - 2, y - thick - 2, Math.round(pixels) + 4, thick + 4);
  context.fillStyle = WHITE;
  context.fillRect(x, y - thick, Math.round(pixels), thick);
  text(context, words, x, y - thick - 0.5 * em, WHITE, `${em}px ${family}`);
}

