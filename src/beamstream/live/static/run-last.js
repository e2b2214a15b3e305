// The last runs, the newest first, with links to where the archive shows them.

import { Each, make, put, set } from "./dom.js";
import { clock, count, span } from "./readings.js";
import { here } from "./run.js";

const TONES = { failed: "bad", aborted: "care", interrupted: "care", running: "good", done: "" };

export class Last {
  constructor() {
    const body = make("tbody");
    this.rows = new Each(body, ({ uid }) => uid, () => new Row());
    const names = ["began", "scan", "plan", "frames", "lost", "took", ""];
    const head = make("tr", {}, ...names.map((name) => make("th", { scope: "col", class: `run-${name || "status"}` }, name)));
    this.table = make("table", { class: "run-last" }, make("thead", {}, head), body);
    this.none = make("p", { class: "quiet" }, "none yet");
    this.element = make("section", { "aria-label": "Last runs" }, make("h3", {}, "Last runs"), this.table, this.none);
  }

  show(runs, now) {
    this.rows.show(runs.map((run) => ({ ...run, now })));
    this.table.hidden = !runs.length;
    this.none.hidden = runs.length > 0;
  }
}

class Row {
  constructor() {
    this.link = make("a", { target: "_blank", rel: "noopener" });
    this.cells = Object.fromEntries(
      ["began", "scan", "plan", "frames", "lost", "took", "status"].map((name) => [name, make("td", { class: `run-${name}` })]),
    );
    this.plan = make("span", { class: "run-plan" });
    this.title = make("span", { class: "quiet" });
    this.cells.plan.append(this.plan, " ", this.title);
    this.cells.scan.append(this.link);
    this.element = make("tr", {}, ...Object.values(this.cells));
  }

  show(run) {
    const { cells } = this;
    const began = clock(run.time, run.now);
    put(cells.began, began.length > 8 ? began : began.slice(0, 5)); // the date, where it is another day's
    set(cells.began, "title", new Date(run.time * 1000).toLocaleString("sv-SE"));
    put(this.link, String(run.scan_id ?? run.uid.slice(0, 6)));
    set(this.link, "href", run.link ? here(run.link) : null);
    set(this.link, "title", run.link ? `${run.uid}, in the archive` : `${run.uid}, the archive is not served`);
    put(this.plan, run.plan);
    put(this.title, run.title);
    set(cells.plan, "title", run.title || null);
    put(cells.frames, run.frames === null ? "" : count(run.frames));
    put(cells.lost, run.lost === null ? "" : count(run.lost), run.lost ? "bad" : "");
    put(cells.took, run.duration === null ? "" : span(run.duration));
    put(cells.status, status(run), run.refused ? "bad" : TONES[run.status]);
    set(cells.status, "title", run.reason || null);
  }
}

function status({ status: ended, filed, refused }) {
  if (refused) return "refused by the archive";
  return filed || ended === "running" || ended === "interrupted" ? ended : `${ended}, not filed yet`;
}
