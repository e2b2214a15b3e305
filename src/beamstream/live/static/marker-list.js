// The list of markers: where each is, what it shows, and how it differs from the first.

import { Each, make, put } from "./dom.js";
import { span } from "./readings.js";
import { iso } from "./ticks.js";

/** Keeps a list of the markers in an element, which is hidden while there are none. */
export class MarkerList {
  constructor(element, markers, picture, settings) {
    Object.assign(this, { element, markers, picture, settings });
    const body = make("tbody");
    this.rows = new Each(body, ({ index }) => String(index), () => new Row(markers));
    const names = ["", "frequency", "time, UTC", "value", "from the first", ""];
    const head = make("tr", {}, ...names.map((name) => make("th", { scope: "col" }, name)));
    const clear = make("button", { type: "button", class: "plain", title: "remove all markers" }, "clear");
    clear.addEventListener("click", () => markers.clear());
    head.lastChild.append(clear);
    element.append(make("table", {}, make("thead", {}, head), body));
  }

  /** Write down what the markers show at the moment. */
  show() {
    const { markers, picture } = this;
    const here = picture.channels ? markers.here : [];
    this.element.hidden = !here.length;
    const read = here.map((marker, index) => ({ ...marker, ...markers.read(marker), index, frequency: marker.value }));
    this.rows.show(read.map((one) => this.words({ ...one, marker: here[one.index] }, read[0], here[0])));
  }

  words(one, first, lead) {
    const decibel = this.settings.get("decibel");
    const { marker, index, time, value, channel } = one;
    return {
      index,
      place: marker.place,
      frequency: frequency(marker.value, marker.unit),
      time: marker.time === null ? "newest" : iso(time)[1],
      value: channel === null ? "outside" : level(value, decibel),
      difference: index ? difference(one, first, marker, lead, decibel) : "",
    };
  }
}

class Row {
  constructor(markers) {
    this.lead = make("button", { type: "button", class: "marker-number" });
    this.cells = ["frequency", "time", "value", "difference"].map((name) => make("td", { "data-what": name }));
    this.remove = make("button", { type: "button", class: "plain" }, "×");
    this.lead.addEventListener("click", () => markers.lead(this.place));
    this.remove.addEventListener("click", () => markers.remove(this.place));
    const [first, last] = [this.lead, this.remove].map((button) => make("td", {}, button));
    this.element = make("tr", {}, first, ...this.cells, last);
  }

  show({ index, place, ...texts }) {
    this.place = place;
    put(this.lead, String(index + 1));
    this.lead.title = index ? `compare the others with marker ${index + 1}` : "the others are compared with this one";
    this.lead.ariaLabel = `marker ${index + 1}: ${this.lead.title}`;
    this.remove.ariaLabel = `remove marker ${index + 1}`;
    for (const cell of this.cells) put(cell, texts[cell.dataset.what]);
  }
}

function frequency(value, unit) {
  return unit === "MHz" ? `${value.toFixed(3)} MHz` : `channel ${Math.round(value)}`;
}

function level(value, decibel) {
  if (!Number.isFinite(value)) return "no value";
  return decibel ? `${value.toFixed(2)} dB` : String(Number(value.toPrecision(5)));
}

function difference(one, first, marker, lead, decibel) {
  const by = marker.value - lead.value;
  const apart = marker.unit === "MHz" ? `${signed(by.toFixed(3))} MHz` : `${signed(String(Math.round(by)))} channels`;
  const seconds = one.time - first.time;
  const later = `${seconds < 0 ? "\u2212" : "+"}${span(Math.abs(seconds))}`;
  const value = one.value - first.value;
  const size = Number.isFinite(value) ? signed(decibel ? value.toFixed(2) : String(Number(value.toPrecision(4)))) : "";
  return [apart, marker.time === null && lead.time === null ? "" : later, size && (decibel ? `${size} dB` : size)]
    .filter(Boolean)
    .join("   ");
}

function signed(text) {
  return text.startsWith("-") ? text.replace("-", "\u2212") : `+${text}`;
}
