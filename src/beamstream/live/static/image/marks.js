// What is drawn over the image: shapes and cross, in device pixels so that lines stay thin.

import { handles, Shapes } from "./shapes.js";

export const COLOURS = ["#ffa94d", "#66d9e8", "#c0eb75", "#faa2c1", "#ffe066", "#b197fc", "#ff8787", "#63e6be"];
const HALO = "rgb(0 0 0 / 0.6)";
const THIN = 0.07; // em, as all lengths here: thin on a phone, to be seen on a wall
const HANDLE = 0.26; // half its width

/** Draw all shapes; the one that is selected with its handles. */
export function drawShapes(context, shapes, viewpoint, { em, family }) {
  context.lineJoin = "round";
  for (const shape of shapes.list) {
    const colour = COLOURS[Shapes.colour(shape.id)];
    const selected = shape.id === shapes.selected;
    outline(context, () => trace(context, shape, viewpoint), colour, (selected ? 2 : 1.4) * THIN * em);
    const places = handles(shape).map(({ row, col }) => viewpoint.toScreen(row, col));
    if (selected) places.forEach((place) => knob(context, place, colour, HANDLE * em));
    const [x, y] = places.reduce((a, b) => (b[1] < a[1] || (b[1] === a[1] && b[0] < a[0]) ? b : a));
    text(context, shape.id, x, y - 0.4 * em, colour, `600 ${em}px ${family}`);
  }
}

function trace(context, shape, viewpoint) {
  const places = handles(shape).map(({ row, col }) => viewpoint.toScreen(row, col));
  context.beginPath();
  if (shape.shape !== "ellipse") {
    for (const [x, y] of places) context.lineTo(x, y);
    if (shape.shape === "rectangle") context.closePath();
    return;
  }
  const [[x1, y1], , [x2, y2]] = places;
  const [rx, ry] = [Math.abs(x2 - x1) / 2, Math.abs(y2 - y1) / 2];
  context.ellipse((x1 + x2) / 2, (y1 + y2) / 2, rx, ry, 0, 0, 2 * Math.PI);
}

/** A thin cross through the middle of a pixel, and the pixel itself when it is large. */
export function drawCross(context, [row, col], viewpoint, { em, accent }) {
  const [x, y] = viewpoint.toScreen(row + 0.5, col + 0.5).map((v) => Math.floor(v) + 0.5);
  const gap = Math.max(0.5 * em, viewpoint.zoom / 2);
  const { width, height } = viewpoint;
  const lines = () => {
    context.beginPath();
    for (const [x1, y1, x2, y2] of [[0, y, x - gap, y], [x + gap, y, width, y], [x, 0, x, y - gap], [x, y + gap, x, height]]) {
      context.moveTo(x1, y1);
      context.lineTo(x2, y2);
    }
    if (viewpoint.zoom >= 6) context.rect(x - viewpoint.zoom / 2, y - viewpoint.zoom / 2, viewpoint.zoom, viewpoint.zoom);
  };
  outline(context, lines, accent, THIN * em);
}

/** Stroke a path so that it is seen on light and dark. */
function outline(context, path, colour, width) {
  const whole = Math.max(1, Math.round(width));
  path();
  context.strokeStyle = HALO;
  context.lineWidth = 3 * whole;
  context.globalAlpha = 0.5;
  context.stroke();
  context.globalAlpha = 1;
  context.strokeStyle = colour;
  context.lineWidth = whole;
  context.stroke();
}

function knob(context, [x, y], colour, half) {
  context.fillStyle = HALO;
  context.fillRect(x - half - 1, y - half - 1, 2 * half + 2, 2 * half + 2);
  context.fillStyle = colour;
  context.fillRect(x - half, y - half, 2 * half, 2 * half);
}

/** Text with a dark edge, readable on every image. */
export function text(context, words, x, y, colour, font) {
  context.font = font;
  context.strokeStyle = HALO;
  context.lineWidth = Math.max(3, Number.parseInt(font.match(/[\d.]+px/), 10) / 4);
  context.lineJoin = "round";
  context.strokeText(words, x, y);
  context.fillStyle = colour;
  context.fillText(words, x, y);
}
