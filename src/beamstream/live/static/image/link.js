// The connection to the server: opened again whenever it ends, for as long as the page is there.

import { decode } from "./wire.js";

const SOONEST = 300; // ms until the next attempt
const LATEST = 3000;
const PATIENCE = 60_000; // ms for an answer; a capture takes as long as its frames

/**
 * Events: "scene" and "status" (`detail` is the server's message), "frame" (`detail` is a decoded frame),
 * "connection" (see `state`).
 */
export class Link extends EventTarget {
  /** @param {() => object[]} hello what to say first on each connection */
  constructor(hello) {
    super();
    this.hello = hello;
    this.state = "connecting"; // then "open" or "lost"
    this.number = 0; // of this connection
    this.heard = performance.now();
    this.asked = new Map();
    this.pause = SOONEST;
    this.open();
  }

  open() {
    const address = new URL("ws", location.href);
    address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(address);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => this.begin();
    socket.onmessage = ({ data }) => this.hear(data, socket);
    socket.onclose = () => socket === this.socket && this.again();
    this.socket = socket;
  }

  begin() {
    this.number += 1;
    this.heard = performance.now();
    for (const message of this.hello()) this.tell(message);
    this.become("open");
  }

  /** Tell the server something; nothing happens while there is none: the next connection begins with all of it. */
  tell(message) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  /** Ask the server to do something; its answer is `{ok, words}`, also when there is none. */
  ask(message) {
    if (this.socket.readyState !== WebSocket.OPEN) return Promise.resolve({ ok: false, words: "no connection" });
    const id = crypto.getRandomValues(new Uint32Array(1))[0].toString(36);
    return new Promise((resolve) => {
      this.asked.set(id, resolve);
      setTimeout(() => this.answer({ to: id, ok: false, words: "the server did not answer" }), PATIENCE);
      this.tell({ ...message, id });
    });
  }

  answer({ to, ok, words }) {
    this.asked.get(to)?.({ ok, words });
    this.asked.delete(to);
  }

  async hear(data, socket) {
    this.heard = performance.now();
    if (typeof data !== "string") {
      const frame = await decode(data);
      if (socket === this.socket) this.dispatchEvent(new CustomEvent("frame", { detail: frame }));
      return;
    }
    this.pause = SOONEST;
    const message = JSON.parse(data);
    if (message.is === "answer") this.answer(message);
    else this.dispatchEvent(new CustomEvent(message.is, { detail: message }));
  }

  again() {
    this.become("lost");
    for (const id of [...this.asked.keys()]) this.answer({ to: id, ok: false, words: "the connection ended" });
    setTimeout(() => this.open(), this.pause);
    this.pause = Math.min(LATEST, this.pause * 1.5);
  }

  /** Connect anew, with what the browser knows by now. */
  renew() {
    this.socket.onclose = null;
    this.socket.close();
    this.open();
  }

  become(state) {
    this.state = state;
    this.dispatchEvent(new Event("connection"));
  }
}
