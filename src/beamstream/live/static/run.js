// The run panel: what the sessions do at the moment, and what ran last; for every page of the instrument.

import { Each, make, put, set } from "./dom.js";
import { Last } from "./run-last.js";
import { Now } from "./run-now.js";
import { state } from "./state.js";

/**
 * Put the run panel into an element. It asks `/state` once a second and brings its style sheets.
 *
 * @param {Element} element is empty
 * @param {{compact: boolean}} options compact: one line that opens to the whole
 */
export function attach(element, { compact = false } = {}) {
  style();
  element.classList.add("run-panel");
  const panel = compact ? new Compact(element) : new Panel(element);
  state.addEventListener("state", ({ detail }) => panel.show(detail));
  state.addEventListener("lost", ({ detail }) => panel.lose(detail));
  if (state.document) panel.show(state.document);
  state.begin();
  return panel;
}

function style() {
  for (const name of ["tones", "run"]) {
    if (document.querySelector(`link[href$="/${name}.css"]`)) continue;
    document.head.append(make("link", { rel: "stylesheet", href: `/static/${name}.css` }));
  }
}

/** All of it: the runs under way, the last ones, and what holds for all. */
class Panel {
  constructor(element) {
    this.element = element;
    const sessions = make("div", { class: "run-sessions" });
    this.idle = make("p", { class: "run-idle quiet" }, "asking what runs");
    this.sessions = new Each(sessions, ({ pid }) => String(pid), () => new Now());
    this.last = new Last();
    this.archive = make("p", { class: "run-foot quiet" });
    this.uploads = make("p", { class: "run-foot quiet" });
    element.append(this.idle, sessions, this.last.element, this.archive, this.uploads);
  }

  show({ sessions, runs, archive, uploads, time }) {
    set(this.element, "data-old", null);
    const open = sessions.filter(({ run }) => run);
    this.sessions.show(open.map((session) => ({ ...session, now: time })));
    this.idle.hidden = open.length > 0;
    put(this.idle, idle(sessions));
    this.last.show(runs, time);
    put(this.archive, `Archive: ${archive.words}${waiting(archive)}`, archive.tone === "care" ? "care" : "");
    this.uploads.hidden = !uploads || uploads.number === 0;
    if (uploads) this.showUploads(uploads);
  }

  showUploads({ words, tone, url, backlog }) {
    this.link ??= make("a", {}, "Uploads");
    if (!this.link.isConnected) this.uploads.append(this.link, make("span"));
    set(this.link, "href", url ? here(url) : null);
    put(this.uploads.lastChild, `: ${words}${backlog ? `, ${backlog} to come` : ""}`, tone === "good" ? "" : tone);
  }

  lose(words) {
    set(this.element, "data-old", "true");
    put(this.archive, words, "bad");
  }
}

/** One line; the rest when it is opened. */
class Compact {
  constructor(element) {
    this.now = new Now({ compact: true });
    this.idle = make("span", { class: "run-idle quiet" }, "asking what runs");
    const whole = make("div", { class: "run-whole" });
    const details = make("details", {}, make("summary", {}, this.idle, this.now.element), whole);
    element.append(details);
    document.addEventListener("keydown", ({ key }) => key === "Escape" && (details.open = false));
    document.addEventListener("pointerdown", ({ target }) => details.contains(target) || (details.open = false));
    this.element = element;
    this.panel = new Panel(whole);
  }

  show(document) {
    set(this.element, "data-old", null);
    const session = document.sessions.find(({ run }) => run);
    this.idle.hidden = Boolean(session);
    this.now.element.hidden = !session;
    if (session) this.now.show({ ...session, now: document.time });
    else put(this.idle, idle(document.sessions));
    this.panel.show(document);
  }

  lose(words) {
    set(this.element, "data-old", "true");
    this.panel.lose(words);
  }
}

function idle(sessions) {
  if (!sessions.length) return "No run in progress, no session open";
  return `No run in progress, ${sessions.length === 1 ? "a session is open" : `${sessions.length} sessions are open`}`;
}

function waiting({ waiting: number }) {
  return number > 0 ? ` · ${number} run${number > 1 ? "s" : ""} not filed yet` : "";
}

/** An address as this browser reaches it: what the server calls its own machine is where the page came from. */
export function here(url) {
  const address = new URL(url);
  if (["127.0.0.1", "localhost", "[::1]"].includes(address.hostname)) address.hostname = location.hostname;
  return address.href;
}
