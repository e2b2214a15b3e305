// Small live pictures of streams: a few a second, only while they can be seen.

import { decode } from "./image/wire.js";
import { FOR_IMAGES, NAMES, table } from "./palettes.js";
import { within } from "./quantiles.js";
import { Rows } from "./rows.js";
import { Range } from "./scale.js";
import { Waterfall } from "./waterfall.js";
import { decode as decodeRows } from "./wire.js";

const RATE = 5; // pictures a second
const ROWS = 90; // spectra
const MOST = 960; // pixels of a side: small pictures cost acquisition little, on a wall as well
const AGAIN = 1500; // ms
const UNKNOWN = 65_536; // rows and columns of a frame that did not come yet
const SAMPLE = 4096; // pixels that the contrast is found from
const LOW = 0.01;
const HIGH = 0.997;

/** A connection to one stream that exists while its element can be seen. Event: "status". */
class Thumbnail extends EventTarget {
  constructor(canvas, name, query = "") {
    super();
    Object.assign(this, { canvas, name, query, socket: null, visible: false, timer: 0, drawn: 0 });
    this.context = canvas.getContext("2d");
    this.watch = new IntersectionObserver(([entry]) => this.see(entry.isIntersecting));
    this.watch.observe(canvas);
    this.size = new ResizeObserver(() => this.fit());
    this.size.observe(canvas);
    this.onVisibility = () => this.connect();
    document.addEventListener("visibilitychange", this.onVisibility);
  }

  see(visible) {
    this.visible = visible;
    this.connect();
  }

  /** Open or close, as it has to be. */
  connect() {
    const wanted = this.visible && !document.hidden;
    if (wanted && !this.socket) this.open();
    if (!wanted) this.leave();
  }

  open() {
    clearTimeout(this.timer);
    const address = new URL(`/streams/${this.name}/ws${this.query}`, location.href);
    address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(address);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => this.opened();
    socket.onmessage = ({ data }) => this.hear(data, socket);
    socket.onclose = () => {
      if (socket !== this.socket) return;
      this.socket = null;
      this.timer = setTimeout(() => this.connect(), AGAIN);
    };
    this.socket = socket;
  }

  leave() {
    clearTimeout(this.timer);
    const { socket } = this;
    this.socket = null;
    socket?.close();
  }

  /** End for good. */
  close() {
    this.leave();
    this.watch.disconnect();
    this.size.disconnect();
    document.removeEventListener("visibilitychange", this.onVisibility);
  }

  tell(message) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  async hear(data, socket) {
    if (typeof data === "string") {
      const message = JSON.parse(data);
      if (message.is === "scene") this.scene(message);
      if (message.is === "status") this.dispatchEvent(new CustomEvent("status", { detail: message }));
      return;
    }
    const serial = await this.take(data);
    if (socket !== this.socket) return;
    this.draw();
    this.drawn += 1;
    this.canvas.dataset.drawn = this.drawn; // for whoever looks at the page from outside
    this.tell({ ack: serial });
  }

  /** Make the canvas as large as it is shown. */
  fit() {
    const { clientWidth, clientHeight } = this.canvas;
    const ratio = Math.min(devicePixelRatio || 1, MOST / Math.max(1, clientWidth, clientHeight));
    const [width, height] = [Math.round(clientWidth * ratio), Math.round(clientHeight * ratio)];
    if (!width || (this.canvas.width === width && this.canvas.height === height)) return;
    Object.assign(this.canvas, { width, height });
    this.fitted();
    this.draw();
  }

  opened() {}

  fitted() {}

  palette(names, other) {
    try {
      const { palette } = JSON.parse(localStorage.getItem(`beamstream.live.${this.name}`)) ?? {};
      return table(names.includes(palette) ? palette : other);
    } catch {
      return table(other);
    }
  }
}

/** The newest frame, whole, its contrast found anew for each. */
export class ImageThumbnail extends Thumbnail {
  constructor(canvas, name) {
    super(canvas, name);
    this.image = document.createElement("canvas");
    this.whole = { rows: UNKNOWN, cols: UNKNOWN }; // frame, pixels
  }

  opened() {
    this.tell({ rate: RATE });
    this.fitted();
  }

  scene({ rows, cols }) {
    this.whole = { rows, cols };
    this.fitted();
  }

  fitted() {
    const { width, height } = this.canvas;
    this.tell({ view: { row: 0, col: 0, ...this.whole, width, height } });
  }

  async take(data) {
    const frame = await decode(data);
    const { rows, cols, channels, pixels } = frame;
    const image = new ImageData(cols, rows);
    if (channels === 3) colour(pixels, new Uint32Array(image.data.buffer));
    else grey(pixels, new Uint32Array(image.data.buffer), this.palette(FOR_IMAGES, "grey"));
    Object.assign(this.image, { width: cols, height: rows });
    this.image.getContext("2d").putImageData(image, 0, 0);
    this.came = true;
    this.coarse = frame.bin > 1;
    return frame.serial;
  }

  draw() {
    const { context, canvas, image } = this;
    context.clearRect(0, 0, canvas.width, canvas.height);
    if (!this.came) return;
    const { rows, cols } = this.whole;
    const scale = Math.min(canvas.width / cols, canvas.height / rows);
    const [width, height] = [Math.max(1, cols * scale), Math.max(1, rows * scale)];
    context.imageSmoothingEnabled = this.coarse || width < image.width;
    context.drawImage(image, (canvas.width - width) / 2, (canvas.height - height) / 2, width, height);
  }
}

function grey(pixels, out, colours) {
  const [low = 0, high = 1] = within(sample(pixels), LOW, HIGH);
  const factor = 255 / (high - low || 1);
  for (let i = 0; i < out.length; i++) {
    const index = Math.round((pixels[i] - low) * factor);
    out[i] = index !== index ? 0 : colours[index < 0 ? 0 : index > 255 ? 255 : index]; // NaN: nothing
  }
}

function colour(pixels, out) {
  const [, full] = within(sample(pixels), LOW, HIGH);
  const factor = pixels instanceof Uint8Array ? 1 : 255 / (full || 1);
  const bytes = Uint8ClampedArray.from(pixels, (value) => value * factor);
  for (let i = 0; i < out.length; i++) {
    out[i] = (255 << 24) | (bytes[3 * i + 2] << 16) | (bytes[3 * i + 1] << 8) | bytes[3 * i];
  }
}

function sample(pixels) {
  const every = Math.max(1, Math.ceil(pixels.length / SAMPLE));
  const some = new Float32Array(Math.ceil(pixels.length / every));
  let n = 0;
  for (let i = 0; i < pixels.length; i += every) {
    if (Number.isFinite(pixels[i])) some[n++] = pixels[i];
  }
  return some.subarray(0, n).sort();
}

/** The last spectra as a waterfall. */
export class SpectraThumbnail extends Thumbnail {
  constructor(canvas, name) {
    super(canvas, name, `?rows=${ROWS}&interval=${1 / RATE}`);
    this.rows = this.waterfall = null;
    this.range = new Range();
  }

  scene({ n_channels, decibel }) {
    this.decibel = decibel;
    this.rows = n_channels ? new Rows(ROWS, n_channels) : null;
    this.waterfall = n_channels ? new Waterfall(ROWS, n_channels) : null;
    this.range.forget();
  }

  async take(data) {
    const batch = decodeRows(data);
    if (!this.rows || batch.channels !== this.rows.channels) return batch.serial;
    for (let i = 0; i < batch.times.length; i++) {
      this.rows.push(batch.values.subarray(i * batch.channels, (i + 1) * batch.channels), batch.times[i]);
    }
    const anew = this.range.find(this.rows, ROWS, 1, this.decibel);
    const colours = this.palette(NAMES, "turbo");
    this.waterfall.paint(this.rows, anew ? ROWS : batch.times.length, colours, this.range, this.decibel);
    return batch.serial;
  }

  draw() {
    const { context, canvas } = this;
    context.clearRect(0, 0, canvas.width, canvas.height);
    if (!this.rows?.length) return;
    this.waterfall.draw(context, this.rows, ROWS, { left: 0, top: 0, width: canvas.width, height: canvas.height });
  }
}
