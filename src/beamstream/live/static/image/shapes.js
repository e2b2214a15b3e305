// What was drawn on the image to be measured: lines, rectangles, ellipses, in pixels of the frame.

export const KINDS = ["line", "rectangle", "ellipse"];
const NAMES = ["A", "B", "C", "D", "E", "F", "G", "H"];
const KEY = "shapes";

/** Whether a value is a list of shapes, such as the browser remembers. */
export function areShapes(list) {
  return Array.isArray(list) && list.length <= NAMES.length && list.every(isShape);
}

function isShape(shape) {
  if (!NAMES.includes(shape?.id) || !KINDS.includes(shape.shape)) return false;
  return (shape.shape === "line" ? ["row", "col", "row2", "col2"] : ["row", "col", "rows", "cols"]).every((name) =>
    Number.isFinite(shape[name]),
  );
}

/** The shapes of a stream, in the settings. Events: "change" when one did, "select". */
export class Shapes extends EventTarget {
  constructor(settings) {
    super();
    this.settings = settings;
    this.selected = null; // a name
    settings.on([KEY], () => this.dispatchEvent(new Event("change")));
  }

  get list() {
    return this.settings.get(KEY);
  }

  get areas() {
    return this.list.filter(({ shape }) => shape !== "line");
  }

  get lines() {
    return this.list.filter(({ shape }) => shape === "line");
  }

  get(id) {
    return this.list.find((shape) => shape.id === id);
  }

  /** Which colour a shape has, a number. */
  static colour(id) {
    return NAMES.indexOf(id);
  }

  /** Add a shape and select it; return its name, null when there are enough. */
  add(shape) {
    const id = NAMES.find((name) => !this.get(name));
    if (!id) return null;
    this.settings.set(KEY, [...this.list, { ...shape, id }]);
    this.select(id);
    return id;
  }

  replace(shape) {
    this.settings.set(KEY, this.list.map((old) => (old.id === shape.id ? shape : old)));
  }

  remove(id = this.selected) {
    if (!this.get(id)) return;
    this.settings.set(KEY, this.list.filter((shape) => shape.id !== id));
    if (this.selected === id) this.select(null);
  }

  select(id) {
    if (this.selected === id) return;
    this.selected = id;
    this.dispatchEvent(new Event("select"));
  }
}

/** A shape between two places of the frame; areas have whole pixels, a line goes from pixel to pixel. */
export function between(kind, a, b) {
  if (kind === "line") {
    const [row, col, row2, col2] = [a.row, a.col, b.row, b.col].map((v) => Math.floor(v));
    return { shape: kind, row, col, row2, col2 };
  }
  const [row, rows] = whole(a.row, b.row);
  const [col, cols] = whole(a.col, b.col);
  return { shape: kind, row, col, rows, cols };
}

function whole(a, b) {
  const begin = Math.floor(Math.min(a, b) + 1e-6);
  return [begin, Math.max(1, Math.ceil(Math.max(a, b) - 1e-6) - begin)];
}

/** A shape moved by so many pixels. */
export function moved(shape, rows, cols) {
  const other = { ...shape, row: shape.row + rows, col: shape.col + cols };
  if (shape.shape === "line") Object.assign(other, { row2: shape.row2 + rows, col2: shape.col2 + cols });
  return other;
}

/** Places by which a shape is held and resized: ends of a line, corners of an area. */
export function handles(shape) {
  if (shape.shape === "line") {
    return [
      { row: shape.row + 0.5, col: shape.col + 0.5 },
      { row: shape.row2 + 0.5, col: shape.col2 + 0.5 },
    ];
  }
  const [top, left] = [shape.row, shape.col];
  const [bottom, right] = [top + shape.rows, left + shape.cols];
  return [
    { row: top, col: left },
    { row: top, col: right },
    { row: bottom, col: right },
    { row: bottom, col: left },
  ];
}

/** A shape with one of its handles at another place. */
export function resized(shape, handle, place) {
  const all = handles(shape);
  const other = all[(handle + all.length / 2) % all.length]; // the far end stays
  const [a, b] = shape.shape === "line" && handle === 1 ? [other, place] : [place, other];
  return { ...between(shape.shape, a, b), id: shape.id };
}

/** Whether a pixel, by its middle, belongs to an area. */
export function contains(area, row, col) {
  const y = (row - area.row) / area.rows;
  const x = (col - area.col) / area.cols;
  if (area.shape === "ellipse") return (x - 0.5) ** 2 + (y - 0.5) ** 2 <= 0.25;
  return y >= 0 && y < 1 && x >= 0 && x < 1;
}
