// The connection to the server: opened again whenever it ends, for as long as the page is there.

import { decode } from "./wire.js";

const SOONEST = 500; // ms until the next attempt
const LATEST = 5000;

/**
 * Events: "scene" and "status" (`detail` is the server's message), "rows" (`detail` is a decoded batch),
 * "connection" (see `state`).
 */
export class Stream extends EventTarget {
  /** @param {() => object} asked what to ask for: rows, interval, beam */
  constructor(asked) {
    super();
    this.asked = asked;
    this.state = "connecting"; // then "open" or "lost"
    this.pause = SOONEST;
    this.open();
  }

  open() {
    const address = new URL("ws", location.href); // the page may be one of several streams
    address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    address.search = new URLSearchParams(this.asked());
    const socket = new WebSocket(address);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => this.become("open");
    socket.onmessage = ({ data }) => this.hear(data);
    socket.onclose = () => this.again();
    this.socket = socket;
  }

  /** Tell the server something; nothing happens while there is none: the next connection asks anew. */
  tell(message) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  hear(data) {
    if (typeof data === "string") {
      const message = JSON.parse(data);
      this.dispatchEvent(new CustomEvent(message.is, { detail: message }));
      this.pause = SOONEST;
      return;
    }
    const batch = decode(data);
    this.dispatchEvent(new CustomEvent("rows", { detail: batch }));
    this.tell({ ack: batch.serial });
  }

  again() {
    this.become("lost");
    setTimeout(() => this.open(), this.pause);
    this.pause = Math.min(LATEST, this.pause * 1.5);
  }

  become(state) {
    this.state = state;
    this.dispatchEvent(new Event("connection"));
  }
}
