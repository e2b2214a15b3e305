// The frequency axis: where channels lie, in MHz where that is known.

import { ticks } from "./ticks.js";

/** Positions count channels from the left edge of the first one: channel i is centred at i + 0.5. */
export class Channels {
  constructor(number, frequency) {
    this.number = number;
    this.values = frequency ?? Array.from({ length: number }, (_, i) => i);
    this.unit = frequency ? "MHz" : "channel";
    this.step = number > 1 ? (this.values[number - 1] - this.values[0]) / (number - 1) : 1;
  }

  /** The value at a position. */
  value(position) {
    const at = Math.max(0, Math.min(this.number - 1, position - 0.5));
    const low = Math.min(Math.floor(at), Math.max(0, this.number - 2));
    const high = Math.min(low + 1, this.number - 1);
    const edge = position - 0.5 - at; // half a channel beyond the first or the last
    return this.values[low] + (this.values[high] - this.values[low]) * (at - low) + edge * this.step;
  }

  /** The position of a value, by bisection: axes are monotonic, not always even. */
  position(value) {
    let [low, high] = [0, this.number];
    const rising = this.step >= 0;
    for (let i = 0; i < 50; i++) {
      const middle = (low + high) / 2;
      if (this.value(middle) < value === rising) low = middle;
      else high = middle;
    }
    return (low + high) / 2;
  }

  /** Round numbers, with their positions as fractions of the axis. */
  ticks(number) {
    const [a, b] = [this.value(0), this.value(this.number)];
    const { values, decimals } = ticks(Math.min(a, b), Math.max(a, b), number);
    return { decimals, marks: values.map((value) => ({ value, at: this.position(value) / this.number })) };
  }

  /** A frequency or a channel as text. */
  text(position) {
    const value = this.value(Math.floor(position) + 0.5);
    return this.unit === "MHz" ? `${value.toFixed(3)} MHz` : `channel ${Math.round(value)}`;
  }
}
