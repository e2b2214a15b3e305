// The key of the archive: from the address' fragment, which no server sees, or typed; kept as long as the tab.
// For one that was typed the server gives the browser a session too, with which links into the archive work.

const NAME = "beamstream.archive.key";
const SENDABLE = /^[!-~]+$/; // what a header can carry

/** A form that asks for the key when it is needed, and the header that shows it to the server. */
export class Key {
  /** @param {() => void} changed called when there is another key to try */
  constructor(form, field, words, changed) {
    [this.form, this.field, this.words, this.changed] = [form, field, words, changed];
    this.value = remembered();
    this.refused = "";
    this.typed = false;
    this.takeFragment();
    addEventListener("hashchange", () => this.takeFragment() && changed());
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.take(field.value.trim());
      this.typed = true;
      changed();
    });
  }

  get headers() {
    return this.value ? { Authorization: `Apikey ${this.value}` } : {};
  }

  /** The server knows the key, or wants none. */
  accept() {
    this.refused = "";
    this.form.hidden = true;
    if (!this.typed) return;
    this.typed = false;
    fetch("uploads/session", { method: "POST", headers: this.headers }).catch(() => {}); // this tab has its key
  }

  /** Say why the server answered no; a key that it does not know is forgotten, the next request goes without. */
  refuse(given, why = "") {
    if (given && given === this.value) {
      this.refused = why;
      this.keep("");
    }
    if (this.words.textContent !== this.refused) this.words.textContent = this.refused;
    if (!this.form.hidden) return;
    this.form.hidden = false;
    this.field.focus();
  }

  /** Take the key out of the address, so that it is in no bookmark and no picture of the screen. */
  takeFragment() {
    const given = new URLSearchParams(location.hash.slice(1)).get("key");
    if (!given) return false;
    history.replaceState(null, "", location.pathname + location.search);
    this.take(given);
    return true;
  }

  take(given) {
    this.field.value = "";
    this.refused = "";
    if (SENDABLE.test(given)) this.keep(given);
    else this.refused = "a key is made of letters and digits";
  }

  keep(value) {
    this.value = value;
    try {
      if (value) sessionStorage.setItem(NAME, value);
      else sessionStorage.removeItem(NAME);
    } catch {
      // storage is switched off: the page keeps it by itself
    }
  }
}

function remembered() {
  try {
    return sessionStorage.getItem(NAME) ?? "";
  } catch {
    return "";
  }
}
