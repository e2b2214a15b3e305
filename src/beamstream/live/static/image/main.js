// The page of images: puts the parts together.

import * as keys from "../keys.js";
import { table } from "../palettes.js";
import { Actions } from "./actions.js";
import { settingsOf } from "./choices.js";
import { Contrast } from "./contrast.js";
import * as fields from "./fields.js";
import { report, tabs } from "./header.js";
import { byHand, Histogram } from "./histogram.js";
import { Layers } from "./layers.js";
import { Levels } from "./levels.js";
import { Link } from "./link.js";
import { Measures } from "./measures.js";
import { Pointer } from "./pointer.js";
import { connectSaving } from "./saving.js";
import { Screen } from "./screen.js";
import { Shapes } from "./shapes.js";
import { shortcuts } from "./shortcuts.js";
import { connectTools } from "./tools.js";
import { Viewpoint } from "./viewpoint.js";
import { Wishes } from "./wishes.js";
import { announce, pixelSize, read, showRange } from "./words.js";

const REPORT = 1000; // ms

const element = (id) => document.getElementById(id);
const canvas = element("image");
const name = decodeURIComponent(location.pathname.split("/").at(-2));
const settings = settingsOf(name);
const shapes = new Shapes(settings);
const viewpoint = new Viewpoint();
const levels = new Levels();
const layers = new Layers(levels);
const contrast = new Contrast(settings, levels, shapes);
const pixel = () => pixelSize(page);
const screen = new Screen(canvas, { layers, viewpoint, shapes, settings, pixel });
const link = new Link(() => [...wishes.all(), ...(page.paused ? [{ pause: true }] : [])]);
const wishes = new Wishes({ link, viewpoint, settings, shapes, canvas });
const actions = new Actions({ element, link, settings });
const histogram = new Histogram(element("histogram"), { contrast, levels, settings });
const measures = new Measures({
  table: element("statistics"),
  means: element("means"),
  profile: element("profile"),
  shapes,
  pixel,
});
const page = {
  name,
  settings,
  shapes,
  viewpoint,
  levels,
  layers,
  link,
  status: null, // of the server, the last one
  scene: null,
  tool: "look",
  paused: false,
  shown: 0, // frames that were drawn
  shownRate: NaN,
  get frame() {
    return layers.frame;
  },
  ratio: () => screen.ratio,
  done: () => page.take("look"),
  pause,
  turn,
  fullscreen,
  toggleAutomatic,
  putAway,
};
let pending = null; // the frame that is to be drawn
let pausedOn = 0; // which connection

link.addEventListener("scene", ({ detail }) => {
  const same = page.scene?.rows === detail.rows && page.scene.cols === detail.cols;
  page.scene = contrast.scene = detail;
  if (!same) {
    layers.forget();
    viewpoint.frame(detail.rows, detail.cols);
    keepCrossInside(detail);
  }
  contrast.forget();
  announce(element, page);
  wishes.look();
});

function keepCrossInside({ rows, cols }) {
  const [row, col] = settings.get("cross") ?? [0, 0];
  if (row >= rows || col >= cols) settings.set("cross", null);
}

link.addEventListener("frame", ({ detail }) => {
  const stale = page.paused && link.number !== pausedOn; // the server that kept the paused frame is gone
  if (stale || !page.scene) return link.tell({ ack: detail.serial });
  if (detail.treated !== page.frame?.treated || detail.bin < page.frame.bin) contrast.forget();
  if (detail.channels === 3 && page.scene.dtype.endsWith("u1")) settings.suggest("contrast", "full");
  pending = detail;
  layers.take(detail);
  contrast.look(detail);
  screen.ask();
});

link.addEventListener("notes", ({ detail }) => {
  if (page.frame?.uniqueId !== BigInt(detail.unique_id)) return;
  page.frame.notes = detail;
  measures.take(page.frame);
  read(element, page);
});

link.addEventListener("status", ({ detail }) => {
  page.status = screen.status = detail;
  actions.take(detail);
  report(element, page);
});
link.addEventListener("connection", () => report(element, page));

screen.addEventListener("drawn", () => {
  if (!pending) return;
  const frame = pending;
  pending = null;
  link.tell({ ack: frame.serial, drawing: (performance.now() - link.heard) / 1000 });
  page.shown += 1;
  const { dataset } = canvas; // for whoever looks at the page from outside
  dataset.shown = page.shown;
  dataset.age = Math.round(Date.now() - 1000 * frame.timestamp);
  dataset.unique = frame.uniqueId;
  dataset.bin = frame.bin;
  element("panel").dataset.channels = frame.channels;
  measures.take(frame);
  histogram.ask();
  read(element, page);
});

function recolour() {
  screen.ask();
  histogram.ask();
  showRange(element, levels);
}

function applyContrast() {
  contrast.forget();
  if (page.frame) contrast.look(page.frame);
  recolour();
}

function pause() {
  page.paused = !page.paused;
  pausedOn = link.number;
  link.tell({ pause: page.paused });
  element("pause").setAttribute("aria-pressed", String(page.paused));
  element("pause").textContent = page.paused ? "Resume" : "Pause";
  report(element, page);
}

function turn(way) {
  const { transpose, across, down } = way(viewpoint.lie);
  for (const [what, value] of Object.entries({ transpose, across, down })) settings.set(what, value);
}

function chosenLie() {
  return Object.fromEntries(["transpose", "across", "down"].map((what) => [what, settings.get(what)]));
}

function fullscreen() {
  if (document.fullscreenElement) document.exitFullscreen();
  else document.documentElement.requestFullscreen?.();
}

function toggleAutomatic() {
  if (settings.get("contrast") === "manual") settings.set("contrast", "percentile");
  else byHand(settings, levels);
}

function putAway() {
  if (page.tool !== "look") page.take("look");
  else if (shapes.selected) shapes.select(null);
  else settings.set("cross", null);
}

contrast.addEventListener("found", recolour);
settings.on(["palette"], () => {
  levels.set({ colours: table(settings.get("palette")) });
  recolour();
});
settings.on(["log"], () => {
  levels.set({ log: settings.get("log") });
  applyContrast();
});
settings.on(["contrast", "percentiles", "low", "high"], applyContrast);
settings.on(["transpose", "across", "down"], () => viewpoint.turn(chosenLie()));
settings.on(["captions", "bar", "pixel", "unit"], () => screen.ask());
settings.on(["cross"], () => {
  screen.ask();
  read(element, page);
});
shapes.addEventListener("change", () => screen.ask());
shapes.addEventListener("select", () => {
  if (settings.get("contrast") === "region") applyContrast();
  screen.ask();
});
viewpoint.addEventListener("change", () => read(element, page));

let counted = { shown: 0, at: performance.now() };
setInterval(() => {
  const now = performance.now();
  page.shownRate = ((page.shown - counted.shown) * 1000) / (now - counted.at);
  counted = { shown: page.shown, at: now };
  showRange(element, levels);
  report(element, page);
}, REPORT);

levels.set({ colours: table(settings.get("palette")), log: settings.get("log") });
viewpoint.lie = chosenLie();
document.title = element("title").textContent = name;
fields.connect(element("panel"), settings);
fields.connectSections(element("panel"), settings);
connectTools(element, page);
connectSaving(element, page);
new Pointer(canvas, page);
keys.connect(shortcuts(page), element("help"), element("keys"));
tabs(element("streams"), name);
import("../run.js").then(({ attach }) => attach(element("run"))).catch(() => (element("run").hidden = true));
window.beamstreamPage = page; // for tests and benchmarks
