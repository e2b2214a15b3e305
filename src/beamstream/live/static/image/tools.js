// The tools beside the image: what the pointer does, how much is seen, how it lies.

import { byHand } from "./histogram.js";
import { flippedAcross, flippedDown, transposed, turnedRight } from "./viewpoint.js";

const TOOLS = ["look", "line", "rectangle", "ellipse"];

/** Connect buttons to the page; gives it `take(tool)`. */
export function connectTools(element, page) {
  const { viewpoint, shapes } = page;
  const on = (id, act) => element(id).addEventListener("click", act);
  page.take = (tool) => {
    page.tool = tool;
    for (const other of TOOLS) element(`tool-${other}`).setAttribute("aria-pressed", String(other === tool));
    element("image").style.cursor = tool === "look" ? "default" : "crosshair";
    if (tool !== "look") element("image").focus({ preventScroll: true });
  };
  for (const tool of TOOLS) on(`tool-${tool}`, () => page.take(tool));
  on("fit", () => viewpoint.fit());
  on("one", () => viewpoint.zoomTo(1));
  on("zoom-in", () => viewpoint.zoomTo(viewpoint.zoom * 1.5));
  on("zoom-out", () => viewpoint.zoomTo(viewpoint.zoom / 1.5));
  on("flip-across", () => page.turn(flippedAcross));
  on("flip-down", () => page.turn(flippedDown));
  on("transpose", () => page.turn(transposed));
  on("rotate", () => page.turn(turnedRight));
  on("pause", page.pause);
  on("fullscreen", page.fullscreen);
  element("fullscreen").hidden = !document.fullscreenEnabled;
  on("help-open", () => element("help").showModal());
  on("remove", () => shapes.remove(shapes.selected ?? shapes.list.at(-1)?.id));
  on("no-cross", () => page.settings.set("cross", null));
  for (const end of ["low", "high"]) element(end).addEventListener("change", () => typed(element, page));
  // keys go to the image again after a click, so that Space does not press the same button once more
  element("tools").addEventListener("click", ({ detail }) => detail && element("image").focus({ preventScroll: true }));
  page.take("look");
}

/** A range was typed in. */
function typed(element, { settings, levels }) {
  const value = (end) => (element(end).value === "" ? levels[end] : Number(element(end).value));
  byHand(settings, { low: value("low"), high: value("high") });
}
