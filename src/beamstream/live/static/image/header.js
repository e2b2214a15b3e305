// The head of the page: which streams there are, and how this one goes.

import { count, duration, rate, write } from "../readings.js";

const SILENT = 5000; // ms without a word of the server
const COLOURS = { live: "live", waiting: "waiting", paused: "paused", amber: "waiting", red: "lost" };

/** What the connection and the stream do: a word for the colour, and a sentence. */
export function state({ link, status, paused, frame }) {
  if (link.state === "connecting") return ["waiting", "connecting"];
  if (link.state !== "open") return ["lost", "server not reachable, trying again"];
  if (performance.now() - link.heard > SILENT) return ["lost", "no word from the server, waiting"];
  if (paused) return ["paused", status?.state === "paused" ? status.words : "paused"];
  if (!status) return ["waiting", frame ? "live" : "waiting for frames"];
  return [COLOURS[status.state] ?? "waiting", status.words || status.state];
}

/** Write how it goes into the elements of the head. */
export function report(element, page) {
  const { status, frame } = page;
  const [kind, words] = state(page);
  element("state").dataset.state = kind;
  write(element("state"), words);
  element("state").title = words;
  write(element("notice"), words);
  element("notice").hidden = Boolean(frame);
  write(element("rate"), rate(status?.rate));
  write(element("shown-rate"), rate(page.shownRate));
  write(element("delay"), duration(status?.delay ?? NaN));
  write(element("lost"), count(status?.lost), status?.lost > 0);
  write(element("sharpness"), sharpness(frame, status));
}

function sharpness(frame, status) {
  if (!frame) return "";
  const parts = frame.bin > 1 ? [`1 : ${frame.bin}`] : [];
  if (!frame.refined && status?.limited_by === "link") parts.push("reduced to what the link carries");
  return parts.join(", ");
}

/** Show the streams as tabs; the one of this page is marked. */
export async function tabs(nav, name) {
  const answer = await fetch("/streams").catch(() => null);
  if (!answer?.ok) return;
  const streams = await answer.json();
  const link = (words, href) => {
    const anchor = document.createElement("a");
    anchor.href = href;
    anchor.textContent = words;
    if (words === name) anchor.setAttribute("aria-current", "page");
    return anchor;
  };
  const others = streams.map(({ name: n }) => link(n, `/streams/${encodeURIComponent(n)}/`));
  nav.replaceChildren(link("Overview", "/"), ...others);
}
