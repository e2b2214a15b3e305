// Where things lie on the canvas, device pixels: the two plots share their left and right edges.

const SPECTRUM_SHARE = 0.3;
const COMPACT = 620; // CSS pixels

/** Return the rectangles for a canvas of this size; `em` is the size of the text, `label` the widest text on the left. */
export function layout(width, height, { em, label, ratio }) {
  const compact = width / ratio < COMPACT;
  const left = Math.round(label + (compact ? 1 : 1.7) * em);
  const right = Math.round((compact ? 3 : 3.6) * em);
  const top = Math.round(2.3 * em);
  const gap = Math.round(1.5 * em);
  const bottom = Math.round(2.1 * em);
  const room = Math.max(2, height - top - gap - bottom);
  const spectrum = { left, top, width: Math.max(1, width - left - right), height: Math.round(room * SPECTRUM_SHARE) };
  const below = top + spectrum.height + gap;
  return {
    compact,
    em,
    spectrum,
    waterfall: { ...spectrum, top: below, height: Math.max(1, height - bottom - below) },
    bar: { left: width - right + Math.round(0.6 * em), top, width: Math.round(0.7 * em), height: spectrum.height },
  };
}

/** Whether a point lies in a rectangle. */
export function inside({ left, top, width, height }, x, y) {
  return x >= left && x < left + width && y >= top && y < top + height;
}
