// Elements made by scripts: texts are texts, and what is there stays, so that focus and selection survive.

/** Make an element; `properties` as elements have them, `class`, `data-…` and `aria-…` as attributes. */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/** Put a text into an element where it is another one, and a colour's name. */
export function put(element, text, tone = "") {
  if (element.textContent !== text) element.textContent = text;
  if ((element.dataset.tone ?? "") !== tone) element.dataset.tone = tone;
}

/** Set an attribute or a property where it is another one; null takes an attribute away. */
export function set(element, name, value) {
  if (value === null) element.removeAttribute(name);
  else if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

/** The children of an element, one for each item, in their order: made when an item is new, gone with it. */
export class Each {
  /**
   * @param {Element} parent has no other children
   * @param {(item) => string} key tells items apart
   * @param {(item) => {element: Element, show: (item) => void}} view makes what shows one
   */
  constructor(parent, key, view) {
    Object.assign(this, { parent, key, view });
    this.views = new Map();
  }

  show(items) {
    const keys = new Set(items.map(this.key));
    for (const [key, { element }] of this.views) {
      if (keys.has(key)) continue;
      element.remove();
      this.views.delete(key);
    }
    items.forEach((item, place) => {
      const key = this.key(item);
      if (!this.views.has(key)) this.views.set(key, this.view(item));
      const view = this.views.get(key);
      view.show(item);
      const there = this.parent.children[place];
      if (there !== view.element) this.parent.insertBefore(view.element, there ?? null);
    });
  }
}
