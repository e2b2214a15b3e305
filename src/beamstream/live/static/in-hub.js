// What the page of spectra has more where it is one of the streams of an instrument: the others, the run, its health.

import { make, put } from "./dom.js";
import { Health, worst } from "./health.js";
import { tabs } from "./image/header.js";
import { attach } from "./run.js";
import { state } from "./state.js";

/** Begin; `stream` is the connection, its name the last part of the address. */
export function begin(element, stream) {
  const name = decodeURIComponent(location.pathname.split("/")[2]);
  document.body.classList.add("in-hub");
  element("streams").hidden = element("run").hidden = false;
  tabs(element("streams"), name);
  attach(element("run"), { compact: true });
  watch(make("p", { id: "health", class: "pill" }), element("how"), stream, name);
}

/** Say beside what the stream does whether something is amiss: losses, delay, the disk. */
function watch(pill, beside, stream, name) {
  beside.append(pill);
  const health = new Health();
  stream.addEventListener("status", ({ detail }) => {
    const room = state.document?.disk;
    const detector = state.document?.sessions.map(({ run }) => run?.detectors?.[name]).find(Boolean);
    const lost = (detail.lost ?? 0) + (detail.overruns ?? 0);
    const { parts } = health.take({ ...detail, lost, state: "live" }, { detector, capacity: detail.capacity, room });
    const { tone, words } = worst(Object.values(parts));
    put(pill, tone === "care" || tone === "bad" ? words : "", tone);
  });
}
