// Whether a stream is well: rate, lost frames, delay, room in ring and on disk, as a colour's name and words.

import { bytes, count, duration, rate } from "./readings.js";

const TONES = ["good", "idle", "care", "bad"];
const RECENT = 10_000; // ms that a loss is news
const MEMORY = 60_000; // ms that a loss, or a better rate, is remembered
const SLOWER = 0.6; // of the rate that it had
const GIB = 2 ** 30;

/** The worse of several `{tone, words}`; the first of the worst. */
export function worst(judged) {
  return judged.reduce((a, b) => (TONES.indexOf(b.tone) > TONES.indexOf(a.tone) ? b : a));
}

/** Judge the room on a disk: `{free, total, left}` of `/state`. */
export function disk(room) {
  if (room?.words) return { tone: "bad", words: room.words };
  if (!Number.isFinite(room?.free)) return { tone: "idle", words: "disk not known" };
  const { free, total, left } = room;
  const there = `${bytes(free)} free`;
  const soon = Number.isFinite(left) && left !== null && left < 12 * 3600;
  const words = soon ? `${there}, full in ${duration(left)}` : there;
  if (free < GIB || (soon && left < 300)) return { tone: "bad", words };
  if (free < 10 * GIB || free < 0.03 * total || (soon && left < 1800)) return { tone: "care", words };
  return { tone: "good", words };
}

/** Judge how much of a ring waits for the disk: of a detector of a run, and the ring's capacity in frames. */
export function ring(detector, capacity) {
  if (!detector || !(capacity > 0)) return { tone: "good", words: "", use: NaN };
  const use = Math.max(0, detector.received - detector.recorded - detector.lost) / capacity;
  const words = `${Math.round(100 * use)} % of the ring waits for the disk`;
  return { tone: use > 0.85 ? "bad" : use > 0.5 ? "care" : "good", words, use };
}

/** Judge a delay between detector and here, s. */
export function delay(seconds) {
  if (!Number.isFinite(seconds)) return { tone: "good", words: "" };
  if (Math.abs(seconds) > 3600) return { tone: "care", words: "the detector's clock is wrong" };
  if (seconds < -1) return { tone: "care", words: `the detector's clock is ${duration(-seconds)} ahead` };
  if (seconds > 2) return { tone: seconds > 10 ? "bad" : "care", words: `${duration(seconds)} late` };
  return { tone: "good", words: "" };
}

/** The health of one stream; remembers what it lost and how fast it was. */
export class Health {
  constructor() {
    this.lost = null;
    this.losses = []; // [ms, how many]
    this.rates = []; // [ms, per second]
  }

  /**
   * Take what the server says once a second, and judge it.
   *
   * @param {{state: string, words: string, rate: number, delay: number, lost: number}} status `state` is live,
   *   waiting, paused, amber or red
   * @param {{detector: object, capacity: number, room: object}} around of the run and the disk; all may be missing
   * @returns {{tone: string, words: string, parts: object}} tone is good, idle, care or bad
   */
  take(status, { detector, capacity, room } = {}, now = performance.now()) {
    const parts = {
      stream: stream(status),
      lost: this.judgeLost(status.lost, now),
      rate: this.judgeRate(status, now),
      delay: delay(status.delay),
      ring: ring(detector, capacity),
      disk: disk(room),
    };
    const judged = worst(Object.values(parts).filter((part) => part === parts.stream || part.tone !== "idle"));
    return { tone: judged.tone, words: judged.tone === "good" ? parts.stream.words : judged.words, parts };
  }

  judgeLost(lost, now) {
    if (!Number.isFinite(lost)) return { tone: "good", words: "" };
    if (this.lost !== null && lost > this.lost) this.losses.push([now, lost - this.lost]);
    this.lost = lost;
    this.losses = this.losses.filter(([at]) => now - at < MEMORY);
    if (!this.losses.length) return { tone: "good", words: "" };
    const [at] = this.losses.at(-1);
    const words = `${count(this.losses.reduce((sum, [, n]) => sum + n, 0))} lost in the last minute`;
    return { tone: now - at < RECENT ? "bad" : "care", words };
  }

  judgeRate({ state, rate: present }, now) {
    if (!Number.isFinite(present)) return { tone: "good", words: "" };
    this.rates = [...this.rates.filter(([at]) => now - at < MEMORY), [now, present]];
    const sorted = this.rates.map(([, r]) => r).sort((a, b) => a - b);
    const usual = sorted[Math.floor(0.75 * sorted.length)];
    const slower = this.rates.length > 20 && this.rates.slice(-4).every(([, r]) => r < SLOWER * usual);
    if (state !== "live" || !slower) return { tone: "good", words: "" };
    return { tone: "care", words: `slower: ${rate(present)}, was ${rate(usual)}` };
  }
}

/** What the server itself says about a stream. */
function stream({ state, words }) {
  const tone = { live: "good", paused: "good", waiting: "care", amber: "care", red: "bad", lost: "bad" }[state] ?? "idle";
  return { tone, words: words || state };
}
