// The overview: all streams of the instrument, and what runs.

import { Card } from "./card.js";
import { Each, put } from "./dom.js";
import { disk, worst } from "./health.js";
import * as keys from "./keys.js";
import { attach } from "./run.js";
import { state } from "./state.js";

const EVERY = 2000; // ms between two looks at the list of streams
const PATIENCE = 5000; // ms
const [GAP, TEXT, PICTURE] = [1.2, 7.2, 11 / 16]; // of the style sheet: em, em, height of a picture by its width

const element = (id) => document.getElementById(id);
const cards = new Map();
const each = new Each(
  element("streams"),
  ({ name, kind }) => `${kind} ${name}`,
  (stream) => {
    const card = new Card(stream);
    card.changed = report;
    cards.set(stream.name, card);
    return card;
  },
);
let lost = "";
let known = false;

async function list() {
  try {
    const answer = await fetch("/streams", { cache: "no-store", signal: AbortSignal.timeout(PATIENCE) });
    if (!answer.ok) throw new Error(`the server answers ${answer.status}`);
    take(await answer.json());
    lost = "";
  } catch (error) {
    lost = error.message.startsWith("the server") ? error.message : "server not reachable, trying again";
  }
  report();
  setTimeout(list, EVERY);
}

function take(streams) {
  const names = new Set(streams.map(({ name }) => name));
  for (const [name, card] of cards) {
    if (names.has(name)) continue;
    card.close();
    cards.delete(name);
  }
  each.show(streams);
  arrange();
  element("empty").hidden = streams.length > 0;
  known = true;
}

/** As few columns as fit without scrolling: the larger the pictures, the better. */
function arrange() {
  const grid = element("streams");
  const em = Number.parseFloat(getComputedStyle(grid).fontSize);
  const room = innerHeight - grid.getBoundingClientRect().top - scrollY - 2 * em;
  const fits = (columns) => {
    const width = (grid.clientWidth - (columns - 1) * GAP * em) / columns;
    return Math.ceil(cards.size / columns) * (width * PICTURE + (TEXT + GAP) * em) <= room;
  };
  const columns = Array.from({ length: cards.size }, (_, i) => i + 1).find(fits) ?? cards.size;
  grid.style.setProperty("--columns", Math.max(1, columns));
}

/** Say how all of it goes, in one line. */
function report() {
  const judged = [...cards.values()].map((card) => ({ name: card.name, ...card.judged }));
  const [kind, words] = lost ? ["lost", lost] : summary(judged);
  element("state").dataset.state = kind;
  put(element("state"), words);
  document.body.dataset.old = String(Boolean(lost));
}

const KINDS = { good: "live", idle: "waiting", care: "waiting", bad: "lost" };

function summary(judged) {
  if (!known) return ["waiting", "connecting"];
  if (!judged.length) return ["waiting", "no streams"];
  const { name, tone, words } = worst(judged);
  const well = judged.filter((one) => one.tone === "good").length;
  if (tone === "good") return ["live", judged.length === 1 ? "live" : "all live"];
  const others = well ? ` · ${well} of ${judged.length} live` : "";
  return [KINDS[tone], `${words.startsWith(`${name}: `) ? "" : `${name}: `}${words}${others}`];
}

state.addEventListener("state", ({ detail }) => {
  const room = disk(detail.disk);
  put(element("disk"), room.words, room.tone === "good" ? "" : room.tone);
  element("disk").title = detail.disk.path;
  const { url, tone, words } = detail.archive;
  put(element("archive"), url ? "served" : tone === "idle" ? "–" : "not served", tone === "care" ? "care" : "");
  element("archive").title = words;
  const { uploads } = detail;
  element("uploads-reading").hidden = !uploads?.number;
  if (uploads?.number) put(element("uploads"), uploads.words, uploads.tone === "good" ? "" : uploads.tone);
  for (const card of cards.values()) {
    card.room = detail.disk;
    card.detector = detail.sessions.map((session) => session.run?.detectors?.[card.name]).find(Boolean) ?? null;
  }
});

function fullscreen() {
  if (document.fullscreenElement) document.exitFullscreen();
  else document.documentElement.requestFullscreen?.();
}

function visit(number) {
  [...cards.values()][number - 1]?.link.click();
}

attach(element("run"));
addEventListener("resize", arrange);
element("fullscreen").addEventListener("click", fullscreen);
element("fullscreen").hidden = !document.fullscreenEnabled;
element("help-open").addEventListener("click", () => element("help").showModal());
const numbers = [1, 2, 3, 4, 5, 6, 7, 8, 9].map((n) => [[String(n)], "", () => visit(n)]);
keys.connect(
  [
    [["1", "9"], "open the first, … the ninth stream"],
    [["f"], "fullscreen", fullscreen],
    [["?"], "this sheet", () => element("help").showModal()],
  ],
  element("help"),
  element("keys"),
);
keys.connect(numbers, element("help"), document.createElement("dl"));
list();
