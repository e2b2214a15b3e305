// Numbers and words around the image that follow what is shown.

import { write } from "../readings.js";
import { number, valueOf } from "./measures.js";

/** What one pixel of the frame is: its size and unit; typed in, as the server says, or just a pixel. */
export function pixelSize({ settings, scene }) {
  if (settings.get("pixel") > 0) return [settings.get("pixel"), settings.get("unit")];
  return scene?.pixel_size ? [scene.pixel_size[1], scene.pixel_units ?? "um"] : [1, "px"];
}

/** Say what a new scene is. */
export function announce(element, { name, scene }) {
  const size = scene.pixel_size;
  element("pixel").placeholder = size ? `${number(size[1])} ${scene.pixel_units ?? "um"}` : "unknown";
  element("image").ariaLabel = `Live image of ${name}, ${scene.cols} by ${scene.rows} pixels`;
}

/** Say what is under the cross, and how large things are. */
export function read(element, { frame, settings, viewpoint }) {
  const cross = settings.get("cross");
  const found = frame?.notes.cross;
  const here = cross && found?.row === cross[0] && found.col === cross[1];
  write(element("cross-x"), cross ? String(cross[1]) : "–");
  write(element("cross-y"), cross ? String(cross[0]) : "–");
  write(element("cross-value"), here ? valueOf(found) : "–");
  write(element("zoom"), viewpoint.rows ? `${Number((100 * viewpoint.zoom).toPrecision(3))} %` : "–");
}

/** Show the range in its fields, but where somebody types. */
export function showRange(element, levels) {
  for (const end of ["low", "high"]) {
    const field = element(end);
    if (field !== document.activeElement) field.value = number(levels[end]).replace("–", "");
  }
}
