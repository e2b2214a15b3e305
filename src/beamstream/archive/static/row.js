// One upload: made once, then only what changed is written.

import { count, write } from "./readings.js";
import { backlog, megabytes, moment, phaseOf, unit } from "./words.js";

const TONES = {
  uploading: "work",
  finalizing: "work",
  done: "good",
  "at rest": "care",
  offline: "care",
  refused: "bad",
  failed: "bad",
};

export class Row {
  /** @param {HTMLTemplateElement} template its elements are named by data-part */
  constructor(template) {
    this.element = template.content.firstElementChild.cloneNode(true);
    const named = [...this.element.querySelectorAll("[data-part]")];
    this.parts = Object.fromEntries(named.map((part) => [part.dataset.part, part]));
  }

  /** Show how far an upload is. */
  show(upload, time) {
    const { words, uploaded, frames, complete } = upload;
    const phase = phaseOf(upload, time);
    this.element.dataset.tone = TONES[phase] ?? "";
    this.write("detector", upload.detector || upload.upload);
    this.write("name", upload.stream);
    this.write("phase", phase);
    this.write("words", words === phase ? "" : words);
    this.write("since", moment(upload.since, time));
    this.bar(upload);
    this.write("percent", frames ? `${Math.floor((100 * uploaded) / frames)} %` : "–");
    this.write("uploaded", `${count(uploaded)} of ${count(frames)} ${unit(upload)}${complete ? "" : " so far"}`);
    this.write("backlog", backlog(upload));
    this.write("rate", megabytes(upload.bytes_per_second));
    this.write("run", upload.run.slice(0, 8), upload.run);
    this.write("service", upload.endpoint.replace(/^https?:\/\//, ""), upload.endpoint);
  }

  bar({ uploaded, frames, detector, stream }) {
    const { bar } = this.parts;
    bar.max = Math.max(1, frames);
    bar.value = uploaded;
    const label = `${detector} ${stream}, uploaded`;
    if (bar.ariaLabel !== label) bar.ariaLabel = label;
  }

  write(name, text, title = "") {
    write(this.parts[name], text);
    if (this.parts[name].title !== title) this.parts[name].title = title;
  }
}
