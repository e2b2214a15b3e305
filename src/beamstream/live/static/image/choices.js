// What can be chosen on the page of images, for each stream by itself.

import { FOR_IMAGES } from "../palettes.js";
import { oneOf, Settings, truth, within } from "../settings.js";
import { WAYS } from "./contrast.js";
import { areShapes } from "./shapes.js";

const text = (value) => typeof value === "string" && value.length < 500;
const texts = (value) => Array.isArray(value) && value.every(text);
const place = (value) => value === null || (Array.isArray(value) && value.length === 2 && value.every(Number.isInteger));

const FORMATS = ["tiff", "bigtiff", "ome-tiff", "hdf5", "dxchange", "zarr", "npy", "mkv", "mp4"];
const UNITS = ["nm", "um", "mm"];
const PERCENTILES = ["0.01", "0.1", "1", "5"];
const RATES = ["60", "30", "10", "5", "2", "1"];

const CHOICES = {
  palette: ["grey", oneOf(...FOR_IMAGES)],
  log: [false, truth],
  contrast: ["percentile", oneOf(...WAYS)],
  percentiles: ["0.1", oneOf(...PERCENTILES)],
  low: [0, Number.isFinite],
  high: [255, Number.isFinite],
  transpose: [false, truth],
  across: [false, truth],
  down: [false, truth],
  captions: [true, truth],
  bar: [true, truth],
  pixel: [0, within(0, 1e9)], // 0: as the server says
  unit: ["um", oneOf(...UNITS)],
  rate: ["60", oneOf(...RATES)],
  cross: [null, place],
  shapes: [[], areShapes],
  flat: [false, truth],
  dark: [false, truth],
  pipeline: [false, truth],
  frames: [10, within(1, 10_000)],
  directory: ["", text],
  prefix: ["frame", text],
  format: ["tiff", oneOf(...FORMATS)],
  closed: [["correction-section", "record-section", "saving-section"], texts],
};

/** The settings of a stream, as the browser remembers them. */
export function settingsOf(stream) {
  const part = (i) => Object.fromEntries(Object.entries(CHOICES).map(([name, choice]) => [name, choice[i]]));
  return new Settings(part(0), part(1), `beamstream.live.${stream}`);
}
