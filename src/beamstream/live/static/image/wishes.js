// What the server is told: which part of the image is seen, what to measure in it, what to do to it.

const APART = 40; // ms between two views
const UNKNOWN = 8192; // pixels: the side of an image before the server has said it
const CORRECTIONS = ["flat", "dark", "pipeline"];

/** Tells what changes, and all of it on each new connection. */
export class Wishes {
  constructor({ link, viewpoint, settings, shapes, canvas }) {
    Object.assign(this, { link, viewpoint, settings, shapes, canvas });
    this.told = -Infinity; // when the view was, ms
    this.telling = 0;
    viewpoint.addEventListener("change", () => this.look());
    shapes.addEventListener("change", () => link.tell(this.rois()));
    settings.on(["cross"], () => link.tell(this.cross()));
    settings.on(["rate"], () => link.tell(this.rate()));
    settings.on(CORRECTIONS, () => link.tell(this.correct()));
  }

  all() {
    return [this.view(), this.rate(), this.correct(), this.cross(), this.rois()];
  }

  view() {
    const { viewpoint, canvas } = this;
    if (viewpoint.rows) return { view: viewpoint.seen() };
    return { view: { row: 0, col: 0, rows: UNKNOWN, cols: UNKNOWN, width: canvas.width, height: canvas.height } };
  }

  rate() {
    return { rate: Number(this.settings.get("rate")) };
  }

  correct() {
    return { correct: Object.fromEntries(CORRECTIONS.map((what) => [what, this.settings.get(what)])) };
  }

  cross() {
    return { cross: this.settings.get("cross") };
  }

  rois() {
    return { rois: this.shapes.list };
  }

  /** Tell the view: soon, and not more often than it is worth. */
  look() {
    if (this.telling) return;
    this.telling = setTimeout(() => {
      this.telling = 0;
      this.told = performance.now();
      this.link.tell(this.view());
    }, Math.max(0, this.told + APART - performance.now()));
  }
}
