// What changes something: captures and recordings. They need the key, which is asked for when it is.

import { bytes, count, write } from "../readings.js";

/** `element(id)`, `link`, `settings`. */
export class Actions {
  constructor({ element, link, settings }) {
    Object.assign(this, { element, link, settings });
    this.status = null;
    this.wanted = null; // what is done as soon as it may be
    this.unlocked = false;
    for (const kind of ["flat", "dark"]) {
      element(`capture-${kind}`).addEventListener("click", () => this.capture(kind));
    }
    element("record").addEventListener("click", () => this.record());
    element("unlock-open").addEventListener("click", () => this.unlockFor(null));
    element("unlock-form").addEventListener("submit", (event) => this.unlock(event));
    element("unlock-cancel").addEventListener("click", () => element("unlock").close());
    element("unlock").addEventListener("close", () => !this.unlocked && (this.wanted = null));
  }

  /** Take the server's status: what may be done, and what is. */
  take(status) {
    this.status = status;
    const { element } = this;
    element("unlock-open").hidden = status.may_control;
    const recording = this.recording;
    element("record").setAttribute("aria-pressed", String(recording));
    element("record").textContent = recording ? "Stop recording" : "Start recording";
    for (const name of ["directory", "prefix", "format"]) element("panel").elements[name].disabled = recording;
    write(element("recording"), recordingWords(status));
    const { correction } = status;
    for (const kind of ["flat", "dark", "pipeline"]) write(element(`${kind}-name`), correction?.[kind] ?? "none");
    write(element("correction-note"), correction?.failed || correction?.note || "", Boolean(correction?.failed));
    if (status.may_control) this.doWanted();
  }

  doWanted() {
    const { wanted } = this;
    this.wanted = null;
    wanted?.();
  }

  get recording() {
    return this.status?.recording?.state === "recording";
  }

  capture(kind) {
    const frames = this.settings.get("frames");
    this.do({ do: "capture", kind, frames }, `capturing ${frames} frames`);
  }

  record() {
    const [directory, prefix, format] = ["directory", "prefix", "format"].map((name) => this.settings.get(name));
    const message = this.recording ? { do: "stop" } : { do: "record", directory, prefix, format };
    this.do(message, this.recording ? "finishing the file" : "starting");
  }

  /** Do something, with the key, and say what came of it. */
  async do(message, meanwhile) {
    if (!this.status?.may_control) {
      this.unlockFor(() => this.do(message, meanwhile));
      return;
    }
    this.say(meanwhile);
    const { ok, words } = await this.link.ask(message);
    this.say(words, !ok);
  }

  say(words, striking = false) {
    const toast = this.element("toast");
    write(toast, words, striking);
    toast.hidden = !words;
    clearTimeout(this.gone);
    this.gone = setTimeout(() => (toast.hidden = true), striking ? 12_000 : 5000);
  }

  unlockFor(wanted) {
    this.wanted = wanted;
    this.unlocked = false;
    write(this.element("unlock-words"), "");
    this.element("unlock").showModal();
  }

  async unlock(event) {
    event.preventDefault();
    const { element, link } = this;
    const key = element("unlock-key").value;
    const options = { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ key }) };
    const answer = await fetch("/unlock", options).catch(() => null);
    if (!answer?.ok) {
      const refused = await answer?.json().catch(() => null);
      write(element("unlock-words"), refused?.error ?? "the server did not answer", true);
      return;
    }
    if (!(await answer.json()).may_control) {
      write(element("unlock-words"), "this key may look, not control", true);
      return;
    }
    this.unlocked = true;
    element("unlock-key").value = "";
    element("unlock").close();
    link.renew(); // the server looks at the cookie when a connection begins
  }
}

function recordingWords({ recording, disk_free: free }) {
  const room = Number.isFinite(free) ? `${bytes(free)} free` : "";
  if (!recording) return room;
  const { words, written, lost } = recording;
  const frames = Number.isFinite(written) ? `${count(written)} frames written` : "";
  const gone = lost > 0 ? `${count(lost)} lost` : "";
  return [words, frames, gone, room].filter(Boolean).join(", ");
}
