// Mouse, pen, fingers and arrow keys on the image: look around, place the cross, draw shapes and move them.

import { between, contains, handles, moved, resized } from "./shapes.js";

const NEAR = 9; // CSS pixels
const CLICK = 4; // CSS pixels: what moved less was a click

/** `page`: viewpoint, shapes, settings, ratio(), tool (which to draw with, or "look"), done() when a shape is drawn. */
export class Pointer {
  constructor(canvas, page) {
    Object.assign(this, { canvas, page });
    this.fingers = new Map();
    this.drag = null;
    canvas.addEventListener("pointerdown", (event) => this.down(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, (event) => this.up(event));
    canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    canvas.addEventListener("dblclick", () => page.tool === "look" && this.page.viewpoint.fit());
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("keydown", (event) => this.key(event));
  }

  at({ clientX, clientY }) {
    const box = this.canvas.getBoundingClientRect();
    const ratio = this.page.ratio();
    return [(clientX - box.left) * ratio, (clientY - box.top) * ratio];
  }

  place(at) {
    return this.page.viewpoint.toFrame(...at);
  }

  down(event) {
    const { page } = this;
    const at = this.at(event);
    this.canvas.setPointerCapture(event.pointerId);
    this.fingers.set(event.pointerId, at);
    if (!page.viewpoint.rows) return;
    if (this.fingers.size === 2) {
      this.drag = null; // two fingers zoom
    } else if (this.fingers.size === 1) {
      this.drag = { begin: at, last: at, far: false, ...(event.button === 0 ? this.held(at) : { what: "pan" }) };
    }
  }

  /** What is taken hold of at a place of the window. */
  held(at) {
    const { shapes, settings, tool } = this.page;
    if (tool !== "look") return { what: "draw", from: this.place(at) };
    const selected = shapes.get(shapes.selected);
    if (selected) {
      const handle = handles(selected).findIndex((place) => this.near(at, place));
      if (handle >= 0) return { what: "resize", handle, shape: selected };
      if (this.inside(at, selected)) return { what: "move", shape: selected, from: this.place(at) };
    }
    const shape = shapes.list.findLast((other) => this.onEdge(at, other));
    if (shape) return { what: "move", shape, from: this.place(at) };
    const cross = settings.get("cross");
    if (cross && this.near(at, { row: cross[0] + 0.5, col: cross[1] + 0.5 })) return { what: "cross" };
    return { what: "pan" };
  }

  near([px, py], { row, col }) {
    const [x, y] = this.page.viewpoint.toScreen(row, col);
    return Math.hypot(x - px, y - py) <= NEAR * this.page.ratio();
  }

  inside(at, shape) {
    const { row, col } = this.place(at);
    return shape.shape !== "line" && contains(shape, row, col);
  }

  /** Whether a place is on the line of a shape: some places around it are inside, others are not. */
  onEdge([x, y], shape) {
    const far = (NEAR / 2) * this.page.ratio();
    if (shape.shape === "line") {
      const [a, b] = handles(shape).map(({ row, col }) => this.page.viewpoint.toScreen(row, col));
      return distance([x, y], a, b) <= far;
    }
    const around = [[-far, -far], [far, -far], [-far, far], [far, far]];
    const inside = around.filter(([dx, dy]) => this.inside([x + dx, y + dy], shape)).length;
    return inside > 0 && inside < 4;
  }

  move(event) {
    const at = this.at(event);
    const before = this.fingers.get(event.pointerId);
    if (before && this.fingers.size === 2) this.pinch(event.pointerId, at);
    else if (before && this.drag) this.dragTo(at);
    else if (!before) this.hover(at);
    if (before) this.fingers.set(event.pointerId, at);
  }

  hover(at) {
    const cursors = { draw: "crosshair", resize: "grab", move: "move", cross: "move", pan: "default" };
    const cursor = this.page.viewpoint.rows ? cursors[this.held(at).what] : "default";
    if (this.canvas.style.cursor !== cursor) this.canvas.style.cursor = cursor;
  }

  pinch(id, at) {
    const { viewpoint } = this.page;
    const before = this.fingers.get(id);
    const [, other] = [...this.fingers].find(([key]) => key !== id);
    const apart = ([x, y]) => Math.max(1, Math.hypot(x - other[0], y - other[1]));
    const middle = ([x, y]) => [(x + other[0]) / 2, (y + other[1]) / 2];
    const [[x, y], [x0, y0]] = [middle(at), middle(before)];
    viewpoint.pan(x - x0, y - y0);
    viewpoint.zoomTo((viewpoint.zoom * apart(at)) / apart(before), x, y);
  }

  dragTo(at) {
    const { drag, page } = this;
    drag.far ||= Math.hypot(at[0] - drag.begin[0], at[1] - drag.begin[1]) > CLICK * page.ratio();
    if (!drag.far) return;
    const place = this.place(at);
    if (drag.what === "pan") page.viewpoint.pan(at[0] - drag.last[0], at[1] - drag.last[1]);
    else if (drag.what === "cross") this.cross(place);
    else if (drag.what === "draw") this.draw(place);
    else if (drag.what === "resize") page.shapes.replace(resized(drag.shape, drag.handle, place));
    else page.shapes.replace(moved(drag.shape, ...this.whole(place, drag.from)));
    drag.last = at;
  }

  whole(place, from) {
    return [Math.round(place.row - from.row), Math.round(place.col - from.col)];
  }

  draw(place) {
    const { drag, page } = this;
    const shape = between(page.tool, drag.from, place);
    if (drag.id) page.shapes.replace({ ...shape, id: drag.id });
    else drag.id = page.shapes.add(shape);
  }

  up(event) {
    const { drag, page } = this;
    this.fingers.delete(event.pointerId);
    if (!drag) return;
    this.drag = null;
    if (drag.shape) page.shapes.select(drag.shape.id);
    if (drag.what === "draw" && drag.far) page.done();
    else if (!drag.far && event.type === "pointerup" && (drag.what === "pan" || drag.what === "cross")) {
      page.shapes.select(null);
      if (event.button === 0) this.cross(this.place(drag.begin));
    }
  }

  /** Put the cross onto the pixel of a place. */
  cross({ row, col }) {
    const { rows, cols } = this.page.viewpoint;
    const clip = (value, size) => Math.max(0, Math.min(size - 1, Math.floor(value)));
    this.page.settings.set("cross", [clip(row, rows), clip(col, cols)]);
  }

  wheel(event) {
    event.preventDefault();
    const { viewpoint } = this.page;
    const lines = event.deltaMode === 1 ? 16 : 1;
    const speed = event.ctrlKey ? 0.01 : 0.0018; // with ctrl it is a pinch on a touchpad
    viewpoint.zoomTo(viewpoint.zoom * Math.exp(-event.deltaY * lines * speed), ...this.at(event));
  }

  /** Arrows move the selected shape, or the cross, as they are seen; Enter draws with the tool. */
  key(event) {
    const { viewpoint, shapes, settings, tool } = this.page;
    if (event.ctrlKey || event.metaKey || event.altKey || !viewpoint.rows) return;
    if (event.key === "Enter" && tool !== "look") return this.drawInTheMiddle();
    const arrow = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!arrow) return;
    event.preventDefault();
    const [a, b] = [this.place([0, 0]), this.place(arrow)];
    const far = event.shiftKey ? 10 : 1;
    const step = [b.row - a.row, b.col - a.col].map((way) => Math.sign(Math.round(way * 1e6)) * far);
    const shape = shapes.get(shapes.selected);
    if (shape) return shapes.replace(moved(shape, ...step));
    const from = settings.get("cross") ?? [viewpoint.rows >> 1, viewpoint.cols >> 1].map((v, i) => v - step[i]);
    this.cross({ row: from[0] + step[0] + 0.5, col: from[1] + step[1] + 0.5 });
  }

  drawInTheMiddle() {
    const { viewpoint, shapes, tool } = this.page;
    const part = (fraction) => this.place([fraction * viewpoint.width, fraction * viewpoint.height]);
    shapes.add(between(tool, part(0.375), part(0.625)));
    this.page.done();
  }
}

function distance([x, y], [x1, y1], [x2, y2]) {
  const [dx, dy] = [x2 - x1, y2 - y1];
  const along = ((x - x1) * dx + (y - y1) * dy) / (dx * dx + dy * dy || 1);
  const t = Math.max(0, Math.min(1, along));
  return Math.hypot(x - x1 - t * dx, y - y1 - t * dy);
}
