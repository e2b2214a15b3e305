// Which part of the image is seen, how large, and how it lies: between pixels of the frame and pixels of the screen.

const NEAREST = 64; // device pixels for one of the frame
const ROOM = 0.5; // of the fitted zoom: farther away there is nothing to see

/**
 * Places in the frame are (row, col), pixel i covers i to i + 1. It is transposed first, then flipped; `x` and `y` are
 * the place of the lying image that is in the middle of the window. Event: "change".
 */
export class Viewpoint extends EventTarget {
  constructor() {
    super();
    Object.assign(this, { rows: 0, cols: 0, width: 0, height: 0, zoom: 1, x: 0, y: 0, fitted: true });
    this.lie = { transpose: false, across: false, down: false };
  }

  /** Size of the image as it lies. */
  get wide() {
    return this.lie.transpose ? this.rows : this.cols;
  }

  get tall() {
    return this.lie.transpose ? this.cols : this.rows;
  }

  get fitting() {
    return Math.min(this.width / this.wide, this.height / this.tall);
  }

  /** Take frames of this size; the same size again changes nothing. */
  frame(rows, cols) {
    if (rows === this.rows && cols === this.cols) return;
    Object.assign(this, { rows, cols });
    this.fit();
  }

  /** Take a window of this size, device pixels. */
  window(width, height) {
    Object.assign(this, { width, height });
    if (this.fitted) this.fit();
    else this.changed();
  }

  /** Lie otherwise; what was in the middle stays there. */
  turn(lie) {
    const { row, col } = this.toFrame(this.width / 2, this.height / 2);
    this.lie = lie;
    if (this.fitted) return this.fit();
    const [x, y] = this.toScreen(row, col);
    this.pan(this.width / 2 - x, this.height / 2 - y);
  }

  fit() {
    if (!this.rows || !this.width) return;
    Object.assign(this, { zoom: this.fitting, x: this.wide / 2, y: this.tall / 2, fitted: true });
    this.changed();
  }

  /** Zoom so that a place of the window, device pixels, stays where it is. */
  zoomTo(zoom, px = this.width / 2, py = this.height / 2) {
    const least = Math.min(1, this.fitting) * ROOM;
    const taken = Math.max(least, Math.min(NEAREST, zoom));
    const [dx, dy] = [px - this.width / 2, py - this.height / 2];
    this.x += dx / this.zoom - dx / taken;
    this.y += dy / this.zoom - dy / taken;
    this.zoom = taken;
    this.moved();
  }

  /** Move the image by so many device pixels. */
  pan(dx, dy) {
    this.x -= dx / this.zoom;
    this.y -= dy / this.zoom;
    this.moved();
  }

  moved() {
    this.fitted = false;
    this.x = Math.max(0, Math.min(this.wide, this.x));
    this.y = Math.max(0, Math.min(this.tall, this.y));
    this.changed();
  }

  changed() {
    const { zoom, lie } = this;
    // whole device pixels, so that at 1:1 a pixel of the frame is one of the screen
    const [left, top] = [Math.round(this.width / 2 - this.x * zoom), Math.round(this.height / 2 - this.y * zoom)];
    this.across = lie.across ? { factor: -zoom, begin: left + this.wide * zoom } : { factor: zoom, begin: left };
    this.down = lie.down ? { factor: -zoom, begin: top + this.tall * zoom } : { factor: zoom, begin: top };
    this.dispatchEvent(new Event("change"));
  }

  /** Let a context draw in coordinates of the frame: x is the column, y the row. */
  apply(context) {
    const { across, down } = this;
    if (this.lie.transpose) context.setTransform(0, down.factor, across.factor, 0, across.begin, down.begin);
    else context.setTransform(across.factor, 0, 0, down.factor, across.begin, down.begin);
  }

  /** Where a place of the frame is in the window, device pixels. */
  toScreen(row, col) {
    const [a, b] = this.lie.transpose ? [row, col] : [col, row];
    return [this.across.begin + this.across.factor * a, this.down.begin + this.down.factor * b];
  }

  /** What place of the frame is there. */
  toFrame(px, py) {
    const a = (px - this.across.begin) / this.across.factor;
    const b = (py - this.down.begin) / this.down.factor;
    return this.lie.transpose ? { row: a, col: b } : { row: b, col: a };
  }

  /** The part of the frame that is seen, whole pixels, and the device pixels that it takes along its own axes. */
  seen() {
    const [p, q] = [this.toFrame(0, 0), this.toFrame(this.width, this.height)];
    const [row, rows] = span(p.row, q.row, this.rows);
    const [col, cols] = span(p.col, q.col, this.cols);
    return { row, col, rows, cols, width: Math.ceil(cols * this.zoom), height: Math.ceil(rows * this.zoom) };
  }
}

function span(a, b, size) {
  const begin = Math.max(0, Math.min(size - 1, Math.floor(Math.min(a, b))));
  const end = Math.max(begin + 1, Math.min(size, Math.ceil(Math.max(a, b))));
  return [begin, end - begin];
}

/** The ways to lie that follow from another one. */
export const flippedAcross = (lie) => ({ ...lie, across: !lie.across });
export const flippedDown = (lie) => ({ ...lie, down: !lie.down });
export const transposed = (lie) => ({ transpose: !lie.transpose, across: lie.down, down: lie.across });
export const turnedRight = (lie) => flippedAcross(transposed(lie));
