// The canvas: its size, what is drawn on it, in the browser's own rhythm.

import { onThemeChange, theme } from "../theme.js";
import { bar, captions, drawBar, drawCaptions } from "./captions.js";
import { drawCross, drawShapes } from "./marks.js";

const LONGEST = 0.25; // of the width, the scale bar

/** Event: "drawn", after each drawing. */
export class Screen extends EventTarget {
  constructor(canvas, { layers, viewpoint, shapes, settings, pixel }) {
    super();
    Object.assign(this, { canvas, layers, viewpoint, shapes, settings, pixel });
    this.context = canvas.getContext("2d", { alpha: false });
    this.status = null;
    this.asked = false;
    this.style();
    new ResizeObserver(() => this.resize()).observe(canvas.parentElement);
    onThemeChange(() => this.style());
    viewpoint.addEventListener("change", () => this.ask());
  }

  style() {
    this.theme = theme(this.canvas);
    this.resize();
  }

  resize() {
    this.ratio = devicePixelRatio || 1;
    this.theme.size = theme(this.canvas).size;
    const { clientWidth, clientHeight } = this.canvas.parentElement;
    const [width, height] = [Math.round(clientWidth * this.ratio), Math.round(clientHeight * this.ratio)];
    if (!width || !height) return;
    if (this.canvas.width !== width || this.canvas.height !== height) {
      [this.canvas.width, this.canvas.height] = [width, height];
      this.viewpoint.window(width, height);
    }
    this.ask();
  }

  /** Draw soon; once, however often it is asked. */
  ask() {
    if (this.asked) return;
    this.asked = true;
    requestAnimationFrame(() => {
      this.asked = false;
      this.draw();
      this.dispatchEvent(new Event("drawn"));
    });
  }

  draw() {
    const { context, canvas, viewpoint, layers, shapes, settings } = this;
    context.resetTransform();
    context.fillStyle = this.theme.void;
    context.fillRect(0, 0, canvas.width, canvas.height);
    if (!layers.frame) return;
    layers.draw(context, viewpoint);
    const look = { em: this.theme.size * this.ratio, family: this.theme.family, accent: this.theme.accent };
    drawShapes(context, shapes, viewpoint, look);
    if (settings.get("cross")) drawCross(context, settings.get("cross"), viewpoint, look);
    if (settings.get("captions")) drawCaptions(context, captions(layers.frame, this.status), look);
    if (settings.get("bar")) {
      const [size, unit] = this.pixel();
      drawBar(context, bar(LONGEST * canvas.width, viewpoint.zoom, size, unit), canvas.height, look);
    }
  }
}
