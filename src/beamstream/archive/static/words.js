// Numbers and times of an upload, in words.

import { count, duration } from "./readings.js";

const OVER = ["done", "failed"];
const START = 5; // s that a worker may need until it works

/** What is counted. */
export const unit = ({ kind }) => (kind === "timeseries" ? "readings" : "frames");

/** What an upload does; "at rest" when it is not over and nobody works on it. */
export function phaseOf({ running, phase, began }, time) {
  const rests = !running && !OVER.includes(phase) && time - began > START;
  return rests ? "at rest" : phase;
}

/** What is recorded and not uploaded, and how long that took to record. */
export function backlog(upload) {
  if (!upload.backlog) return "none";
  const seconds = upload.backlog_seconds;
  return `${count(upload.backlog)} ${unit(upload)}${seconds === null ? "" : `, ${duration(seconds)}`}`;
}

/** A rate in MB/s. */
export function megabytes(rate) {
  if (rate === null) return "–";
  const value = rate / 1e6;
  return `${value >= 100 ? Math.round(value) : value.toFixed(value >= 10 ? 1 : 2)} MB/s`;
}

/** A time of day, with the date if it is another day's than that of `now`; both s since 1970-01-01 UTC. */
export function moment(seconds, now) {
  const [day, time] = new Date(seconds * 1000).toLocaleString("sv-SE").split(" ");
  const [today] = new Date(now * 1000).toLocaleString("sv-SE").split(" ");
  return day === today ? time : `${day} ${time.slice(0, 5)}`;
}
