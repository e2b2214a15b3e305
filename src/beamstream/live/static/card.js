// One stream on the overview: what it shows at the moment, and whether it is well.

import { make, put, set } from "./dom.js";
import { Health } from "./health.js";
import { count, duration, rate } from "./readings.js";
import { ImageThumbnail, SpectraThumbnail } from "./thumbnail.js";

export class Card {
  /** @param {{name: string, kind: string}} stream as `/streams` has it */
  constructor({ name, kind }) {
    this.name = name;
    this.health = new Health();
    this.judged = { tone: "idle", words: "connecting" };
    this.room = this.detector = null;
    this.build(name);
    this.picture = new (kind === "spectra" ? SpectraThumbnail : ImageThumbnail)(this.canvas, name);
    this.picture.addEventListener("status", ({ detail }) => this.hear(detail));
  }

  build(name) {
    this.canvas = make("canvas", { class: "thumb", "aria-hidden": "true" });
    this.link = make("a", { href: `/streams/${name}/` }, name);
    this.pill = make("p", { class: "pill" }, "connecting");
    this.about = make("p", { class: "about quiet" });
    this.numbers = Object.fromEntries(["rate", "delay", "lost"].map((what) => [what, make("dd", {}, "–")]));
    const pairs = Object.entries(this.numbers).map(([what, dd]) => make("div", {}, make("dt", {}, what), dd));
    const text = make("div", { class: "text" }, make("h2", {}, this.link), this.about, this.pill);
    this.element = make("li", { class: "card" }, this.canvas, text, make("dl", {}, ...pairs));
  }

  /** Take what the list of streams says. */
  show({ about, words, state }) {
    const text = about.pv ?? about.address ?? about.path ?? (about.camera === undefined ? "" : `webcam ${about.camera}`);
    put(this.about, text);
    set(this.about, "title", text);
    if (!this.heard && words) this.judge({ state: state ?? "waiting", words });
  }

  /** Take what the stream itself says, once a second. */
  hear(status) {
    this.heard = true;
    this.judge(complete(status));
  }

  judge(status) {
    const around = { detector: this.detector, capacity: status.ring?.capacity, room: this.room };
    this.judged = this.health.take(status, around);
    put(this.pill, this.judged.words.replace(`${this.name}: `, ""), this.judged.tone);
    set(this.element, "data-tone", this.judged.tone);
    const { parts } = this.judged;
    put(this.numbers.rate, rate(status.rate), bad(parts.rate));
    put(this.numbers.delay, duration(status.delay ?? NaN), bad(parts.delay));
    put(this.numbers.lost, count(status.lost ?? NaN), bad(parts.lost));
    this.changed?.();
  }

  close() {
    this.picture.close();
  }
}

const bad = ({ tone }) => (tone === "good" ? "" : tone);

/** What a stream says of itself: that of spectra knows no states. */
function complete(status) {
  if (status.state) return status;
  const lost = status.lost === null ? null : (status.lost ?? 0) + (status.overruns ?? 0);
  if (status.trouble) return { ...status, lost, state: "red", words: status.trouble };
  const patience = Math.max(3, status.rate > 0 ? 5 / status.rate : 0);
  if (status.age !== null && status.age <= patience) return { ...status, lost, state: "live", words: "live" };
  const quiet = status.age === null ? "waiting for spectra" : `no spectra for ${duration(status.age)}`;
  return { ...status, lost, state: "waiting", words: status.waiting || quiet };
}
