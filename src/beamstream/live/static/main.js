// The page of spectra: puts the parts together.

import * as controls from "./controls.js";
import { Cursor } from "./cursor.js";
import * as keys from "./keys.js";
import { MarkerList } from "./marker-list.js";
import { Markers, valid } from "./markers.js";
import { NAMES } from "./palettes.js";
import { MOST_ROWS, Picture } from "./picture.js";
import * as readings from "./readings.js";
import { oneOf, Settings, truth, within } from "./settings.js";
import { Stream } from "./stream.js";
import { View } from "./view.js";

const RATES = [1, 2, 5, 10, 20, 30];
const ROWS = [50, 100, 150, 200, 300, 400, 600, 800, 1000, MOST_ROWS];
const REPORT = 500; // ms

const element = (id) => document.getElementById(id);
const finite = Number.isFinite;

const settings = new Settings(
  { palette: "turbo", decibel: true, auto: true, percentiles: 1, min: 0, max: 60, rows: 300, rate: 20, beam: 0, markers: [] },
  {
    palette: oneOf(...NAMES),
    decibel: truth,
    auto: truth,
    percentiles: oneOf(0, 0.1, 1, 5),
    min: finite,
    max: finite,
    rows: within(ROWS[0], MOST_ROWS),
    rate: oneOf(...RATES),
    beam: within(0, 65535),
    markers: valid,
  },
);

const picture = new Picture(settings, () => view.colours);
const view = new View(element("plot"), picture, settings);
const markers = new Markers(settings, picture);
const list = new MarkerList(element("markers"), markers, picture, settings);
const cursor = new Cursor(element("cursor"), element("readout"), view, picture, settings, markers);
const stream = new Stream(() => ({
  rows: MOST_ROWS,
  interval: 1 / settings.get("rate"),
  beam: settings.get("beam"),
}));
const form = element("controls");
let scene = null;
let status = null;
let heard = 0; // when the status came, ms
let came = -Infinity; // when the last rows came that are no history, ms
let losses = 0;

stream.addEventListener("scene", ({ detail }) => {
  scene = detail;
  document.title = element("title").textContent = detail.title;
  settings.suggest("decibel", detail.decibel);
  picture.begin(detail);
  controls.offerBeams(form, detail.n_beams, detail.beam);
  refresh();
});
stream.addEventListener("rows", ({ detail }) => {
  picture.take(detail);
  if (!detail.history) came = performance.now();
  if (!picture.paused) refresh();
  if (element("state").dataset.state !== "live") report();
});
stream.addEventListener("status", ({ detail }) => {
  [status, heard] = [detail, performance.now()];
  report();
});
stream.addEventListener("connection", () => {
  losses += stream.state === "lost";
  report();
});

settings.on(["rate"], () => stream.tell({ interval: 1 / settings.get("rate") }));
settings.on(["beam"], () => scene?.beam !== settings.get("beam") && stream.tell({ beam: settings.get("beam") }));
settings.on(["auto"], () => {
  if (!settings.get("auto")) keepRange();
});
settings.on(["auto", "percentiles", "min", "max"], () => {
  picture.applyRange();
  refresh();
});
settings.on(["decibel"], () => {
  if (!settings.get("auto")) convertManualRange();
  picture.applyRange();
  refresh();
});
settings.on(["palette"], () => {
  picture.repaint();
  refresh();
});
settings.on(["rows"], refresh);
markers.addEventListener("change", refresh);

/** Draw anew, soon. */
function refresh() {
  element("plot").dataset.shown = picture.shown; // for whoever looks at the page from outside
  view.ask();
  cursor.draw();
  list.show();
}

/** A manual range begins with the one that is shown. */
function keepRange() {
  const { low, high, found } = picture.range;
  if (!found) return;
  settings.set("min", low);
  settings.set("max", high);
}

/** Keep the manual range where it was when the scale changes between linear and dB. */
function convertManualRange() {
  const convert = settings.get("decibel") ? (v) => 10 * Math.log10(v) : (v) => 10 ** (v / 10);
  const [min, max] = [convert(settings.get("min")), convert(settings.get("max"))];
  settings.set("min", min);
  settings.set("max", max);
}

function pause() {
  picture.pause(!picture.paused);
  element("pause").setAttribute("aria-pressed", String(picture.paused));
  element("pause").textContent = picture.paused ? "Resume" : "Pause";
  refresh();
  report();
}

function fullscreen() {
  if (document.fullscreenElement) document.exitFullscreen();
  else document.documentElement.requestFullscreen?.();
}

function next(name, values, by) {
  const at = values.findIndex((value) => value >= settings.get(name));
  settings.set(name, values[Math.max(0, Math.min(values.length - 1, at + by))]);
}

/** Write down how it goes. */
function report() {
  const now = performance.now();
  const age = Math.min((status?.age ?? 0) + (now - heard) / 1000, (now - came) / 1000);
  const [kind, words] = readings.state({ connection: stream.state, attempts: losses, picture, status, age });
  element("state").dataset.state = kind;
  readings.write(element("state"), words);
  readings.write(element("notice"), words);
  element("notice").hidden = Boolean(picture.rows?.length);
  readings.write(element("rate"), readings.rate(status?.rate));
  readings.write(element("delay"), readings.duration(status?.delay ?? NaN));
  const lost = (status?.lost ?? NaN) + (status?.overruns ?? 0);
  readings.write(element("lost"), readings.count(lost), lost > 0);
  element("state").title = picture.skipped ? `${picture.skipped} spectra were too fast for this page` : "";
  describe();
}

function describe() {
  const { rows, channels } = picture;
  const number = Math.min(rows?.length ?? 0, settings.get("rows"));
  const band = channels ? `${channels.text(0)} to ${channels.text(channels.number - 1)}` : "";
  element("cursor").ariaLabel = number ? `Waterfall of the last ${number} spectra, ${band}` : "No spectra yet";
}

let drawn = { number: 0, at: performance.now() };
setInterval(() => {
  const now = performance.now();
  readings.write(element("fps"), `${Math.round(((view.drawn - drawn.number) * 1000) / (now - drawn.at))} fps`);
  drawn = { number: view.drawn, at: now };
  report();
}, REPORT * 2);

controls.connect(form, settings);
element("pause").addEventListener("click", pause);
element("fullscreen").addEventListener("click", fullscreen);
element("fullscreen").hidden = !document.fullscreenEnabled;
element("help-open").addEventListener("click", () => element("help").showModal());
keys.connect(
  [
    [[" "], "pause, resume", pause],
    [["f"], "fullscreen", fullscreen],
    [["c"], "next palette", () => settings.set("palette", controls.after(settings.get("palette")))],
    [["a"], "automatic or manual range", () => settings.set("auto", !settings.get("auto"))],
    [["l"], "logarithmic or linear", () => settings.set("decibel", !settings.get("decibel"))],
    [["+", "="], "more rows", () => next("rows", ROWS, 1)],
    [["-"], "fewer rows", () => next("rows", ROWS, -1)],
    [["]"], "more updates", () => next("rate", RATES, 1)],
    [["["], "fewer updates", () => next("rate", RATES, -1)],
    [["m"], "marker at the cursor, or at the strongest channel", () => markers.add(cursor.place)],
    [["Delete", "Backspace"], "remove the last marker", () => markers.removeLast()],
    [["click"], "marker in the waterfall: this row; in the spectrum: the newest; on a marker: remove it"],
    [["←", "→", "↑", "↓"], "move the cursor when the plot has the focus; with Shift by ten"],
    [["?"], "this sheet", () => element("help").showModal()],
  ],
  element("help"),
  element("keys"),
);

if (location.pathname.startsWith("/streams/")) import("./in-hub.js").then(({ begin }) => begin(element, stream));
