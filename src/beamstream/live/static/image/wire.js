// Frames as the server packs them; the layout is described in beamstream/live/image_wire.py.

const HEAD_BYTES = 88;
const TYPES = [Uint8Array, Uint16Array, Float32Array];
const DEFLATED = 1;
const words = new TextDecoder();

/**
 * Decode a frame: what its pixels are, where they lie in the whole image, and what the server found in it.
 * Pixels are a view of the message where they came as they are; value = pixel × scale + offset.
 */
export async function decode(buffer) {
  const head = new DataView(buffer, 0, HEAD_BYTES);
  if (head.getUint8(0) !== 2) throw new Error(`message of kind ${head.getUint8(0)}; this page knows kind 2`);
  const frame = described(head);
  const begin = HEAD_BYTES + head.getUint32(28, true);
  frame.notes = JSON.parse(words.decode(new Uint8Array(buffer, HEAD_BYTES, begin - HEAD_BYTES)));
  const number = frame.rows * frame.cols * frame.channels;
  if (head.getUint8(4) !== DEFLATED) frame.pixels = new frame.Pixels(buffer, begin, number);
  else frame.pixels = new frame.Pixels(await inflated(buffer, begin), 0, number);
  return frame;
}

function described(head) {
  const u32 = (at) => head.getUint32(at, true);
  const f64 = (at) => head.getFloat64(at, true);
  return {
    refined: (head.getUint8(1) & 1) !== 0,
    treated: (head.getUint8(1) & 2) !== 0,
    Pixels: TYPES[head.getUint8(2)],
    channels: head.getUint8(3),
    bin: head.getUint16(6, true),
    serial: u32(8),
    rows: u32(12),
    cols: u32(16),
    scale: head.getFloat32(20, true),
    offset: head.getFloat32(24, true),
    index: head.getBigUint64(32, true),
    uniqueId: head.getBigInt64(40, true),
    timestamp: f64(48),
    received: f64(56),
    sent: f64(64),
    region: { row: u32(72), col: u32(76), rows: u32(80), cols: u32(84) },
  };
}

function inflated(buffer, begin) {
  const packed = new Blob([new Uint8Array(buffer, begin)]).stream();
  return new Response(packed.pipeThrough(new DecompressionStream("deflate-raw"))).arrayBuffer();
}
