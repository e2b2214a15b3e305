// The picture: sizes, what has to be drawn again, and drawing it in the browser's own rhythm.

import { colourBar, frame, frequencyAxis, height, timeAxis, valueAxis } from "./axes.js";
import { layout } from "./layout.js";
import { table } from "./palettes.js";
import { shownRow } from "./scale.js";
import { onThemeChange, theme } from "./theme.js";

/** Draws what `picture` has: rows, waterfall, channels, range; its size follows the element around it. */
export class View extends EventTarget {
  constructor(canvas, picture, settings) {
    super();
    this.canvas = canvas;
    this.context = canvas.getContext("2d", { alpha: false });
    this.picture = picture;
    this.settings = settings;
    this.drawn = 0; // pictures
    this.plan = null;
    this.asked = false;
    this.restyle();
    new ResizeObserver(() => this.resize()).observe(canvas.parentElement);
    onThemeChange(() => this.restyle());
    settings.on(["palette"], () => this.restyle());
  }

  restyle() {
    this.theme = theme(this.canvas);
    this.colours = table(this.settings.get("palette"));
    this.bar = barOf(this.colours);
    this.resize();
  }

  resize() {
    const ratio = devicePixelRatio || 1;
    const { clientWidth, clientHeight } = this.canvas.parentElement;
    const [width, height] = [Math.round(clientWidth * ratio), Math.round(clientHeight * ratio)];
    if (!width || !height) return;
    this.theme.size = theme(this.canvas).size;
    if (this.canvas.width !== width || this.canvas.height !== height) {
      this.canvas.width = width;
      this.canvas.height = height;
    }
    this.ratio = ratio;
    const em = this.theme.size * ratio;
    this.context.font = `${em}px ${this.theme.family}`;
    const label = this.context.measureText("00:00:00").width;
    this.plan = layout(width, height, { em, label, ratio });
    this.canvas.dataset.plan = JSON.stringify(this.plan); // for whoever looks at the page from outside
    this.dispatchEvent(new Event("resize"));
    this.draw();
  }

  /** Draw soon; once, however often it is asked. */
  ask() {
    if (this.asked) return;
    this.asked = true;
    requestAnimationFrame(() => {
      this.asked = false;
      this.draw();
      this.drawn += 1;
    });
  }

  draw() {
    const { context, plan, theme, picture, settings } = this;
    if (!plan) return;
    context.fillStyle = theme.page;
    context.fillRect(0, 0, this.canvas.width, this.canvas.height);
    context.fillStyle = theme.void;
    context.fillRect(plan.waterfall.left, plan.waterfall.top, plan.waterfall.width, plan.waterfall.height);
    context.font = `${plan.em}px ${theme.family}`;
    const { rows, waterfall, channels, range } = picture;
    if (rows) {
      const number = settings.get("rows");
      frequencyAxis(context, channels, plan, theme);
      valueAxis(context, range, settings.get("decibel") ? "dB" : "power", plan, theme);
      colourBar(context, this.bar, range, plan, theme);
      waterfall.draw(context, rows, number, plan.waterfall);
      timeAxis(context, rows, number, plan, theme);
      if (rows.length) this.curve(rows.row(0), theme.ink);
      const compared = picture.compared?.();
      if (compared) this.curve(compared, theme.accent);
    }
    frame(context, plan.spectrum, theme);
    frame(context, plan.waterfall, theme);
  }

  curve(row, colour) {
    const { context, plan, picture } = this;
    const { left, top, width, height: tall } = plan.spectrum;
    const seen = shownRow(row, this.settings.get("decibel"));
    const unit = width / seen.length;
    context.save();
    context.beginPath();
    context.rect(left, top, width, tall);
    context.clip();
    context.beginPath();
    let pen = false; // lifted where there is nothing
    for (let i = 0; i < seen.length; i++) {
      const there = Number.isFinite(seen[i]);
      if (there) {
        const [x, y] = [left + (i + 0.5) * unit, height(seen[i], picture.range, plan.spectrum)];
        if (pen) context.lineTo(x, y);
        else context.moveTo(x, y);
      }
      pen = there;
    }
    context.strokeStyle = colour;
    context.lineWidth = Math.max(1, 0.09 * plan.em);
    context.lineJoin = "round";
    context.stroke();
    context.restore();
  }
}

function barOf(colours) {
  const canvas = document.createElement("canvas");
  canvas.width = 1;
  canvas.height = colours.length;
  const context = canvas.getContext("2d");
  const image = context.createImageData(1, colours.length);
  new Uint32Array(image.data.buffer).set(colours.toReversed());
  context.putImageData(image, 0, 0);
  return canvas;
}
