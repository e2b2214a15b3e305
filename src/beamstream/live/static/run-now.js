// A run under way: which plan, how far, and what its detectors and callbacks have done.

import { Each, make, put, set } from "./dom.js";
import { clock, count, rate, span } from "./readings.js";

const COLUMNS = ["detector", "received", "recorded", "lost", "rate"];

export class Now {
  constructor({ compact = false } = {}) {
    this.compact = compact;
    this.plan = make("span", { class: "run-plan" });
    this.title = make("span", { class: "run-title" });
    this.scan = make("span", { class: "quiet run-scan" });
    this.state = make("span", { class: "pill" });
    this.bar = make("progress", { "aria-label": "frames of the run" });
    this.far = make("span", { class: "run-far" });
    this.elapsed = make("span", { class: "quiet run-elapsed" });
    this.lost = make("span", { class: "pill run-lost" });
    if (compact) this.line();
    else this.block();
  }

  line() {
    const { plan, title, scan, bar, far, elapsed, lost } = this;
    this.element = make("span", { class: "run-line" }, this.state, plan, title, scan, bar, far, elapsed, lost);
  }

  block() {
    const head = make("tr", {}, ...COLUMNS.map((name) => make("th", { scope: "col" }, name)));
    const body = make("tbody");
    this.detectors = new Each(body, ({ name }) => name, () => new Detector());
    this.table = make("table", {}, make("thead", {}, head), body);
    const callbacks = make("ul", { class: "run-callbacks", "aria-label": "Callbacks" });
    this.callbacks = new Each(callbacks, ({ name }) => name, () => new Callback());
    const first = make("h2", {}, this.plan, this.scan);
    const numbers = make("p", { class: "run-numbers" }, this.far, this.lost, this.elapsed);
    const top = make("div", { class: "run-top" }, first, this.state);
    this.element = make("article", { class: "run-now" }, top, this.title, this.bar, numbers, this.table, callbacks);
  }

  /** Show a session that has a run; `now` is the server's clock. */
  show({ state, run, now }) {
    const { plan, title, scan_id, uid, started, seconds } = run;
    const elapsed = now - started;
    const [done, total] = run.total || !seconds ? [run.done ?? 0, run.total] : [elapsed, seconds];
    const detectors = Object.entries(run.detectors ?? {}).map(([name, detector]) => ({ name, ...detector }));
    const lost = detectors.reduce((sum, detector) => sum + (detector.lost ?? 0), 0);
    put(this.plan, plan);
    put(this.title, title ?? "");
    this.title.hidden = !title;
    put(this.scan, `scan ${scan_id ?? "–"}`);
    set(this.scan, "title", uid);
    put(this.state, state, state === "running" ? "good" : "care");
    if (total) set(this.bar, "max", String(total));
    else set(this.bar, "max", null);
    set(this.bar, "value", total ? String(Math.min(done, total)) : state === "paused" ? "0" : null);
    put(this.far, far(run, elapsed, detectors));
    put(this.elapsed, this.compact ? span(elapsed) : `since ${clock(started, now)}, ${span(elapsed)}`);
    put(this.lost, lost ? `${count(lost)} lost` : this.compact ? "" : "none lost", lost ? "bad" : "good");
    if (this.compact) return;
    this.table.hidden = !detectors.length;
    this.detectors.show(detectors);
    this.callbacks.show(run.callbacks ?? []);
  }
}

/** How far a run is, and when it will be there. */
function far({ done, total, unit, seconds }, elapsed, detectors) {
  const what = unit ?? "frames";
  if (!total) return `${count(done ?? 0)} ${what}${seconds ? ` · ${span(Math.max(0, seconds - elapsed))} left` : ""}`;
  const rates = detectors.map((detector) => detector.rate).filter((value) => value > 0);
  const pace = what === "frames" && rates.length ? Math.min(...rates) : done / elapsed;
  const left = pace > 0 && done < total ? ` · ${span((total - done) / pace)} left` : "";
  return `${count(done)} of ${count(total)} ${what}${left}`;
}

class Detector {
  constructor() {
    this.name = make("th", { scope: "row" });
    this.cells = Object.fromEntries(COLUMNS.slice(1).map((name) => [name, make("td")]));
    this.element = make("tr", {}, this.name, ...Object.values(this.cells));
  }

  show({ name, received, recorded, lost, rate: pace, file }) {
    put(this.name, name);
    set(this.name, "title", file ?? null);
    put(this.cells.received, count(received ?? NaN));
    put(this.cells.recorded, count(recorded ?? NaN));
    put(this.cells.lost, count(lost ?? NaN), lost ? "bad" : "");
    put(this.cells.rate, rate(pace ?? NaN));
  }
}

class Callback {
  constructor() {
    this.name = make("span");
    this.words = make("span", { class: "quiet" });
    this.element = make("li", {}, this.name, this.words);
  }

  show({ name, words, ok }) {
    put(this.name, name, ok ? "good" : "bad");
    put(this.words, words ?? "", ok ? "" : "bad");
  }
}
