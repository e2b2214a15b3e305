// What `/state` says, asked once a second for all parts of a page together, while somebody looks.

const EVERY = 1000; // ms
const PATIENCE = 5000; // ms until a server that says nothing counts as gone

/** Events: "state" (`detail` is the document), "lost" (`detail` is why, in words). */
class State extends EventTarget {
  constructor() {
    super();
    this.document = null;
    this.asking = false;
    this.timer = 0;
    this.began = false;
  }

  /** Ask from now on. */
  begin() {
    if (this.began) return;
    this.began = true;
    document.addEventListener("visibilitychange", () => this.ask());
    this.ask();
  }

  async ask() {
    if (this.asking || document.hidden) return;
    clearTimeout(this.timer);
    this.asking = true;
    try {
      const answer = await fetch("/state", { cache: "no-store", signal: AbortSignal.timeout(PATIENCE) });
      if (!answer.ok) throw new Error(`the server answers ${answer.status}`);
      this.document = await answer.json();
      this.dispatchEvent(new CustomEvent("state", { detail: this.document }));
    } catch (error) {
      const words = error.message.startsWith("the server") ? error.message : "server not reachable, trying again";
      this.dispatchEvent(new CustomEvent("lost", { detail: words }));
    }
    this.asking = false;
    this.timer = setTimeout(() => this.ask(), EVERY);
  }
}

export const state = new State();
