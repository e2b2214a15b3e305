// What the viewer chose: checked, remembered by the browser, and told to whoever listens.

// Each stream has a page of its own, and so settings of its own.
const NAME = location.pathname.match(/^\/streams\/([^/]+)/)?.[1];
const KEY = NAME ? `beamstream.live.${NAME}` : "beamstream.live";

/** One of a few values. */
export const oneOf = (...values) => (value) => values.includes(value);

/** A finite number within bounds. */
export const within = (least, most) => (value) => Number.isFinite(value) && value >= least && value <= most;

/** True or false. */
export const truth = (value) => typeof value === "boolean";

/**
 * Named values with a check each; an event named after the value is sent when it changes.
 * A value that does not pass its check is not taken: what an older page remembered, or a slip of the hand.
 */
export class Settings extends EventTarget {
  constructor(defaults, checks, key = KEY) {
    super();
    this.checks = checks;
    this.key = key; // under which the browser remembers
    const good = ([name, value]) => name in defaults && checks[name](value);
    this.chosen = Object.fromEntries(Object.entries(remembered(key)).filter(good));
    this.values = { ...defaults, ...this.chosen };
  }

  get(name) {
    return this.values[name];
  }

  set(name, value) {
    if (!this.checks[name](value) || this.values[name] === value) return;
    this.chosen[name] = value;
    remember(this.key, this.chosen);
    this.change(name, value);
  }

  /** Set what the viewer has not chosen; it is not remembered. */
  suggest(name, value) {
    if (!(name in this.chosen) && this.values[name] !== value) this.change(name, value);
  }

  change(name, value) {
    this.values[name] = value;
    this.dispatchEvent(new Event(name));
  }

  /** Call a function when one of these values changes. */
  on(names, function_) {
    for (const name of names) this.addEventListener(name, function_);
  }
}

function remembered(key) {
  try {
    return JSON.parse(localStorage.getItem(key)) ?? {};
  } catch {
    return {}; // storage is switched off, or not ours
  }
}

function remember(key, values) {
  try {
    localStorage.setItem(key, JSON.stringify(values));
  } catch {
    // not remembered, then
  }
}
