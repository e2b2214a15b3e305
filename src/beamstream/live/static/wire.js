// Batches of rows as the server packs them; the layout is described in beamstream/live/push.py.

const HEAD_BYTES = 24;

/**
 * Decode a batch. The arrays are views of the message; typed arrays are little-endian wherever browsers run.
 *
 * @param {ArrayBuffer} buffer
 * @returns {{history: boolean, beam: number, channels: number, serial: number, first: number,
 *            times: Float64Array, many: Uint32Array, values: Float32Array}}
 */
export function decode(buffer) {
  const head = new DataView(buffer, 0, HEAD_BYTES);
  if (head.getUint8(0) !== 1) throw new Error(`batch of kind ${head.getUint8(0)}; this page knows kind 1`);
  const rows = head.getUint32(4, true);
  const channels = head.getUint32(8, true);
  const afterTimes = HEAD_BYTES + 8 * rows;
  return {
    history: head.getUint8(1) === 1,
    beam: head.getUint16(2, true),
    channels,
    serial: head.getUint32(12, true),
    first: Number(head.getBigUint64(16, true)),
    times: new Float64Array(buffer, HEAD_BYTES, rows),
    many: new Uint32Array(buffer, afterTimes, rows),
    values: new Float32Array(buffer, afterTimes + 4 * rows, rows * channels),
  };
}
