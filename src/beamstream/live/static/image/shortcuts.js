// Keys of the page of images, and what they do.

import { FOR_IMAGES } from "../palettes.js";
import { flippedAcross, flippedDown, transposed, turnedRight } from "./viewpoint.js";

/** `page` is what main.js puts together. */
export function shortcuts(page) {
  const { settings, viewpoint, shapes } = page;
  const toggle = (name) => () => settings.set(name, !settings.get(name));
  const zoom = (factor) => () => viewpoint.zoomTo(viewpoint.zoom * factor);
  return [
    [[" "], "pause, resume", page.pause],
    [["+", "="], "zoom in; also the wheel, or two fingers", zoom(1.25)],
    [["-"], "zoom out", zoom(0.8)],
    [["0"], "fit into the window; also a double click", () => viewpoint.fit()],
    [["1"], "one pixel for one pixel", () => viewpoint.zoomTo(1)],
    [["h"], "flip across", () => page.turn(flippedAcross)],
    [["v"], "flip down", () => page.turn(flippedDown)],
    [["t"], "transpose", () => page.turn(transposed)],
    [["r"], "rotate by 90° to the right", () => page.turn(turnedRight)],
    [["a"], "automatic or manual range", page.toggleAutomatic],
    [["l"], "logarithmic or linear", toggle("log")],
    [["c"], "next palette", () => settings.set("palette", after(FOR_IMAGES, settings.get("palette")))],
    [["q"], "draw a line: drag, or Enter", () => page.take("line")],
    [["w"], "draw a rectangle", () => page.take("rectangle")],
    [["e"], "draw an ellipse", () => page.take("ellipse")],
    [["Delete", "Backspace"], "remove the selected shape", () => shapes.remove()],
    [["Escape"], "put away: tool, selection, cross", page.putAway],
    [["←", "→", "↑", "↓"], "move the selected shape, or the cross; with Shift by ten"],
    [["g"], "flat field", toggle("flat")],
    [["d"], "dark", toggle("dark")],
    [["p"], "pipeline", toggle("pipeline")],
    [["o"], "words on the image", toggle("captions")],
    [["b"], "scale bar", toggle("bar")],
    [["s"], "save the frame as NumPy file", () => document.getElementById("save-npy").click()],
    [["f"], "fullscreen", page.fullscreen],
    [["?"], "this sheet", () => document.getElementById("help").showModal()],
  ];
}

function after(list, value) {
  return list[(list.indexOf(value) + 1) % list.length];
}
