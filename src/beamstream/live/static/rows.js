// The last rows as numbers, newest first by their age: what the cursor reads and pictures are made from.

/** A ring of rows. `age` counts rows backwards: 0 is the newest. */
export class Rows {
  constructor(capacity, channels) {
    this.capacity = capacity;
    this.channels = channels;
    this.count = 0;
    this.values = new Float32Array(capacity * channels);
    this.times = new Float64Array(capacity);
  }

  /** How many rows there are. */
  get length() {
    return Math.min(this.count, this.capacity);
  }

  /** Copy one row in. */
  push(row, time) {
    const slot = this.count % this.capacity;
    this.values.set(row, slot * this.channels);
    this.times[slot] = time;
    this.count += 1;
  }

  slot(age) {
    return (this.count - 1 - age + this.capacity) % this.capacity;
  }

  /** A row as a view, good until it is overwritten. */
  row(age) {
    const begin = this.slot(age) * this.channels;
    return this.values.subarray(begin, begin + this.channels);
  }

  /** When a row was measured, s since 1970-01-01 UTC. */
  time(age) {
    return this.times[this.slot(age)];
  }
}
