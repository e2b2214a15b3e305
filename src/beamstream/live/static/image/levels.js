// From pixels to colours: the range that is shown, its scale, and a table with a colour for each pixel value.

const FLOOR = 1e-3; // of the upper end: where a logarithm begins when the lower end is not above zero
const SAME = Uint8Array.from({ length: 256 }, (_, i) => i);

/** The range with colours; `version` counts its changes. */
export class Levels {
  constructor() {
    Object.assign(this, { low: 0, high: 255, log: false, colours: null, version: 0 });
  }

  /** Take some of low, high, log, colours. */
  set(values) {
    if (Object.entries(values).every(([name, value]) => this[name] === value)) return;
    Object.assign(this, values);
    if (!(this.high > this.low)) this.high = this.low + Math.max(1e-12, Math.abs(this.low) * 1e-6);
    this.version += 1;
  }

  /** Where the logarithm begins. */
  get bottom() {
    return this.low > 0 ? this.low : Math.min(1, this.high * FLOOR);
  }

  /** What fraction of the range a value is, not clipped; NaN where its logarithm does not exist. */
  fraction(value) {
    if (!this.log) return (value - this.low) / (this.high - this.low);
    return value > 0 ? Math.log(value / this.bottom) / Math.log(this.high / this.bottom) : 0;
  }

  /** Which of 256 steps a value has. */
  step(value) {
    const at = this.fraction(value) * 255;
    return at > 0 ? (at < 255 ? Math.round(at) : 255) : 0;
  }
}

/** Tables for one kind of pixels, made anew only when the range or the kind changes. */
export class Tables {
  constructor(levels) {
    this.levels = levels;
    this.steps = new Uint8Array(0);
    this.colours = new Uint32Array(0);
    this.key = "";
  }

  /** Make the tables fit for a frame. */
  prepare({ Pixels, scale, offset }) {
    const key = `${this.levels.version} ${Pixels.name} ${scale} ${offset}`;
    if (key === this.key) return;
    this.key = key;
    const codes = Pixels === Uint8Array ? 256 : 65536;
    if (this.steps.length !== codes) [this.steps, this.colours] = [new Uint8Array(codes), new Uint32Array(codes)];
    const value = Pixels === Float32Array ? valueOfBits : (code) => code * scale + offset;
    const { levels, steps, colours } = this;
    for (let code = 0; code < codes; code++) {
      const seen = value(code);
      steps[code] = levels.step(seen);
      colours[code] = seen === seen ? levels.colours[steps[code]] : 0; // NaN: nothing
    }
  }
}

const bits = new Uint32Array(1);
const float = new Float32Array(bits.buffer);

/** The number whose upper 16 bits these are: sign, exponent and 7 bits of the mantissa, enough for a logarithm. */
function valueOfBits(code) {
  bits[0] = (code << 16) | 0x8000;
  return float[0];
}

/** Colour the pixels of a frame into a picture, both row by row. */
export function paint(frame, tables, picture) {
  tables.prepare(frame);
  const { pixels, Pixels, channels } = frame;
  const { levels, colours, steps } = tables;
  const coded = Pixels !== Float32Array || levels.log;
  const codes = Pixels === Float32Array && coded ? upperBits(pixels) : pixels;
  if (channels === 3) paintColours(coded ? codes : stepsOf(pixels, levels), coded ? steps : SAME, picture);
  else if (coded) paintCodes(codes, colours, picture);
  else paintFloats(pixels, levels, picture);
}

function paintCodes(codes, colours, picture) {
  for (let i = 0; i < picture.length; i++) picture[i] = colours[codes[i]];
}

function paintFloats(pixels, { low, high, colours }, picture) {
  const factor = 255 / (high - low);
  const begin = 0.5 - low * factor;
  for (let i = 0; i < picture.length; i++) {
    const at = pixels[i] * factor + begin;
    picture[i] = at !== at ? 0 : colours[at < 0 ? 0 : at > 255 ? 255 : at | 0];
  }
}

function paintColours(codes, steps, picture) {
  for (let i = 0, k = 0; i < picture.length; i++, k += 3) {
    picture[i] = 0xff000000 | (steps[codes[k + 2]] << 16) | (steps[codes[k + 1]] << 8) | steps[codes[k]];
  }
}

function stepsOf(pixels, levels) {
  return Uint8Array.from(pixels, (value) => levels.step(value));
}

/** A view of the upper halves of floats, little-endian. */
function upperBits(pixels) {
  const halves = new Uint16Array(pixels.buffer, pixels.byteOffset, 2 * pixels.length);
  if (upper.length !== pixels.length) upper = new Uint16Array(pixels.length);
  for (let i = 0; i < upper.length; i++) upper[i] = halves[2 * i + 1];
  return upper;
}
let upper = new Uint16Array(0);
