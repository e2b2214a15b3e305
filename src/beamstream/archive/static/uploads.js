// The page of uploads: asks once a second how far they are, for as long as the page is there.

import { Key } from "./key.js";
import { write } from "./readings.js";
import { Row } from "./row.js";
import * as totals from "./totals.js";

const EVERY = 1000; // ms
const PATIENCE = 5000; // ms until a server that says nothing counts as gone

const element = (id) => document.getElementById(id);
const rows = new Map();
const key = new Key(element("ask"), element("key"), element("ask-words"), () => look());
let timer = 0;
let asking = false;
let heard = null; // when the last answer came

/** Ask, show what comes, and ask again in a second. */
async function look() {
  if (asking || document.hidden) return;
  clearTimeout(timer);
  asking = true;
  try {
    await ask();
  } catch (error) {
    lose(error.name === "TimeoutError" ? "the server does not answer" : "server not reachable");
  }
  asking = false;
  timer = setTimeout(look, EVERY);
}

async function ask() {
  const given = key.value;
  const answer = await fetch("uploads/status", {
    headers: key.headers,
    cache: "no-store",
    signal: AbortSignal.timeout(PATIENCE),
  });
  const said = await answer.json().catch(() => ({}));
  if (answer.status === 401) return refuse(given, said.detail);
  if (!answer.ok) return lose(`the server answers ${answer.status}${said.detail ? `: ${said.detail}` : ""}`);
  key.accept();
  show(said);
}

function show({ time, uploads }) {
  heard = new Date();
  document.body.dataset.old = "false";
  state(...totals.state(uploads, time));
  totals.write(uploads, element);
  element("empty").hidden = uploads.length > 0;
  arrange(uploads, time);
}

/** Put the rows into order; an element that is there stays, so that nothing flickers and a selection survives. */
function arrange(uploads, time) {
  const list = element("uploads");
  uploads.forEach((upload, place) => {
    if (!rows.has(upload.upload)) rows.set(upload.upload, new Row(element("row")));
    const row = rows.get(upload.upload);
    row.show(upload, time);
    if (list.children[place] !== row.element) list.insertBefore(row.element, list.children[place] ?? null);
  });
  const there = new Set(uploads.map(({ upload }) => upload));
  for (const [name, row] of rows) {
    if (there.has(name)) continue;
    row.element.remove();
    rows.delete(name);
  }
}

/** What was shown to who had the key is shown no more. */
function refuse(given, why) {
  heard = null;
  state("lost", "the key is needed");
  key.refuse(given, why);
  totals.clear(element);
  element("empty").hidden = true;
  arrange([], 0);
}

function lose(why) {
  document.body.dataset.old = "true";
  const since = heard ? `; shown is what was at ${heard.toLocaleTimeString("sv-SE")}` : "";
  state("lost", `${why}, trying again${since}`);
}

function state(kind, words) {
  element("state").dataset.state = kind;
  write(element("state"), words);
}

document.addEventListener("visibilitychange", look);
look();
