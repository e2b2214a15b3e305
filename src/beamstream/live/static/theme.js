// Colours and type of the canvas, taken from the style sheet, so that light and dark are decided in one place.

const NAMES = ["page", "void", "ink", "muted", "line", "grid", "accent"];

/** Return the colours, and the size and family of the text in CSS pixels. */
export function theme(element) {
  const style = getComputedStyle(element);
  const colours = Object.fromEntries(NAMES.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
  return { ...colours, size: Number.parseFloat(style.fontSize), family: style.fontFamily };
}

/** Call a function when the system changes between light and dark. */
export function onThemeChange(function_) {
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", function_);
}
