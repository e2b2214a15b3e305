// Fields of the page by their names: what stands in them is what the settings have, both ways.

import { gradient } from "../palettes.js";

/** Connect all fields of a form whose names are settings. */
export function connect(form, settings) {
  for (const label of form.querySelectorAll("#palettes label")) {
    label.style.setProperty("--swatch", gradient(label.control.value));
  }
  const fields = [...form.elements].filter(({ name }) => name in settings.values);
  for (const field of fields) {
    field.addEventListener("input", () => settings.set(field.name, read(field)));
    settings.on([field.name], () => write(field, settings.get(field.name)));
    write(field, settings.get(field.name));
  }
  form.addEventListener("submit", (event) => event.preventDefault());
}

function read(field) {
  if (field.type === "checkbox") return field.checked;
  if (typeof field.dataset.number === "undefined") return field.value;
  return field.value === "" ? Number(field.dataset.number) : Number(field.value);
}

function write(field, value) {
  if (field.type === "checkbox") field.checked = value;
  else if (field.type === "radio") field.checked = field.value === value;
  else if (field !== document.activeElement || read(field) !== value) field.value = blank(field, value) ? "" : String(value);
}

/** An optional number that was not given. */
function blank(field, value) {
  return field.type === "number" && value === 0;
}

/** Remember which sections are closed. */
export function connectSections(root, settings) {
  for (const section of root.querySelectorAll("details")) {
    section.open = !settings.get("closed").includes(section.id);
    section.addEventListener("toggle", () => {
      const others = settings.get("closed").filter((id) => id !== section.id);
      settings.set("closed", section.open ? others : [...others, section.id]);
    });
  }
}
