// All uploads together: how many do what, and what is left.

import { count, duration, write as put } from "./readings.js";
import { megabytes, phaseOf, unit } from "./words.js";

const PHASES = ["uploading", "waiting", "finalizing", "at rest", "offline", "refused", "failed", "done"];
const FIELDS = ["uploaded", "backlog", "behind", "rate"];

/** One of a few words for colours, and how many uploads do what. */
export function state(uploads, time) {
  const phases = uploads.map((upload) => phaseOf(upload, time));
  const many = (phase) => phases.filter((other) => other === phase).length;
  const words = PHASES.filter(many).map((phase) => `${many(phase)}\u00a0${phase}`);
  const kind = many("failed") + many("refused") ? "lost" : many("offline") + many("at rest") ? "waiting" : "live";
  return [kind, words.join(", ") || "no uploads"];
}

/** Write the sums; `element` finds where. */
export function write(uploads, element) {
  const left = uploads.filter((upload) => upload.backlog);
  const behind = left.map((upload) => upload.backlog_seconds).filter(Number.isFinite);
  const rates = uploads.filter(({ running, phase }) => running && phase !== "done").map((u) => u.bytes_per_second ?? 0);
  put(element("uploaded"), amount(uploads, "uploaded") || "–");
  put(element("backlog"), amount(left, "backlog") || "none");
  put(element("behind"), behind.length ? duration(Math.max(...behind)) : "–");
  put(element("rate"), rates.length ? megabytes(rates.reduce((sum, rate) => sum + rate, 0)) : "–");
}

/** Write that nothing is known. */
export function clear(element) {
  for (const field of FIELDS) put(element(field), "–");
}

/** Sum a number; frames and readings each for themselves. */
function amount(uploads, field) {
  const sums = new Map();
  for (const upload of uploads) sums.set(unit(upload), (sums.get(unit(upload)) ?? 0) + upload[field]);
  return [...sums].map(([what, sum]) => `${count(sum)} ${what}`).join(", ");
}
