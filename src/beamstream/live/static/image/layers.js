// The picture: the newest frame, and below it a wider one for where the newest does not reach.

import { paint, Tables } from "./levels.js";

const FADED = 0.4;
const SOON = 2; // s: what is older than that below the newest is faded

/** One frame as a picture of its own, coloured when it is drawn. */
class Layer {
  constructor() {
    this.canvas = new OffscreenCanvas(1, 1);
    this.context = this.canvas.getContext("2d");
    this.frame = this.image = null;
    this.painted = -1;
  }

  take(frame) {
    this.frame = frame;
    this.painted = -1;
    const { rows, cols } = frame;
    if (this.image?.width === cols && this.image.height === rows) return;
    [this.canvas.width, this.canvas.height] = [cols, rows];
    this.image = this.context.createImageData(cols, rows);
    this.pixels = new Uint32Array(this.image.data.buffer);
  }

  paint(tables) {
    if (this.painted === tables.levels.version) return;
    paint(this.frame, tables, this.pixels);
    this.context.putImageData(this.image, 0, 0);
    this.painted = tables.levels.version;
  }

  draw(context, viewpoint) {
    const { region, bin } = this.frame;
    const size = viewpoint.zoom * bin; // device pixels of one that came
    context.imageSmoothingEnabled = size < 1 || bin > 1;
    context.imageSmoothingQuality = "low";
    viewpoint.apply(context);
    const [width, height] = [region.cols / bin, region.rows / bin];
    context.drawImage(this.canvas, 0, 0, width, height, region.col, region.row, region.cols, region.rows);
  }
}

/** Draws at their true places what came, whatever the view was when it was asked for. */
export class Layers {
  constructor(levels) {
    this.tables = new Tables(levels);
    this.tablesBelow = new Tables(levels);
    this.forget();
  }

  /** The newest frame, null before the first. */
  get frame() {
    return this.above.frame;
  }

  take(frame) {
    const last = this.above.frame;
    if (last && area(frame) < area(last)) [this.above, this.below] = [this.below, this.above];
    this.above.take(frame);
    if (this.below.frame && area(this.below.frame) <= area(frame)) this.below.frame = null;
  }

  forget() {
    this.above = new Layer();
    this.below = new Layer();
  }

  draw(context, viewpoint) {
    const { frame } = this;
    if (!frame) return;
    const wider = this.below.frame;
    if (wider && !covers(frame.region, viewpoint.seen())) {
      context.globalAlpha = frame.received - wider.received > SOON ? FADED : 1;
      this.below.paint(this.tablesBelow);
      this.below.draw(context, viewpoint);
      context.globalAlpha = 1;
    }
    this.above.paint(this.tables);
    this.above.draw(context, viewpoint);
    context.resetTransform();
  }
}

const area = ({ region }) => region.rows * region.cols;

function covers(region, seen) {
  const within = (begin, size, b, s) => begin <= b && begin + size >= b + s;
  return within(region.row, region.rows, seen.row, seen.rows) && within(region.col, region.cols, seen.col, seen.cols);
}
