// The controls: what stands in the form is what the settings have, both ways.

import { gradient, NAMES } from "./palettes.js";

/** Connect a form to settings by the names of its fields. */
export function connect(form, settings) {
  for (const label of form.querySelectorAll("#palettes label")) {
    label.style.setProperty("--swatch", gradient(label.control.value));
  }
  form.addEventListener("input", ({ target }) => settings.set(target.name, read(target)));
  form.addEventListener("submit", (event) => event.preventDefault());
  const show = () => {
    for (const field of form.elements) {
      if (field.name) write(field, settings.get(field.name));
    }
    form.dataset.auto = settings.get("auto");
    form.querySelector("#rows-shown").textContent = `${settings.get("rows")} rows`;
  };
  settings.on(Object.keys(settings.values), show);
  show();
}

/** Offer so many beams; none where there is only one. */
export function offerBeams(form, number, chosen) {
  form.querySelector("#beam-field").hidden = number < 2;
  const options = Array.from({ length: number }, (_, beam) => new Option(String(beam), beam, false, beam === chosen));
  form.elements.beam.replaceChildren(...options);
}

/** The palette after this one. */
export function after(palette) {
  return NAMES[(NAMES.indexOf(palette) + 1) % NAMES.length];
}

function read(field) {
  if (field.type === "checkbox") return field.checked;
  if (field.type === "radio") return field.value;
  return field.value === "" ? NaN : Number(field.value);
}

function write(field, value) {
  if (field.type === "checkbox") field.checked = value;
  else if (field.type === "radio") field.checked = field.value === value;
  else if (field !== document.activeElement || Number(field.value) !== value) field.value = String(value);
}
