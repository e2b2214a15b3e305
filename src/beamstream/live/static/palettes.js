// Palettes as tables of 256 colours, interpolated between anchors.

const ANCHORS = {
  turbo:
    "31123c 3a2a74 4040a2 4556c7 476be4 477ff7 4393ff 37a8fb 29bbec 1ccdd8 17dcc3 1de8b0 30f299 4cf97e 6bfe63 " +
    "8aff4c a3fd3c b8f734 cced34 dee037 edd03a f8c03a fdae35 fe982c fc8022 f56817 ec520e e14009 d23105 c12302 " +
    "ac1701 950c01 7a0403",
  viridis:
    "440154 48186b 472d7c 424086 3b528b 33638e 2c728e 26818e 20908d 1e9f89 26ae81 3dbc74 5cc963 81d44d abdc32 " +
    "d5e217 fee721",
  grey: "000000 ffffff",
};

export const NAMES = Object.keys(ANCHORS);
const SIZE = 256;

/** Return 256 pixels as ImageData has them in memory, low to high, opaque. */
export function table(name) {
  const anchors = ANCHORS[name].split(" ").map(channels);
  const pixels = new Uint32Array(SIZE);
  for (let i = 0; i < SIZE; i++) {
    const at = (i / (SIZE - 1)) * (anchors.length - 1);
    const low = Math.min(Math.floor(at), anchors.length - 2);
    const [r, g, b] = anchors[low].map((c, k) => Math.round(c + (anchors[low + 1][k] - c) * (at - low)));
    pixels[i] = (255 << 24) | (b << 16) | (g << 8) | r;
  }
  return pixels;
}

/** Return a CSS gradient, low at the left. */
export function gradient(name) {
  const stops = ANCHORS[name].split(" ").map((hex) => `#${hex}`);
  return `linear-gradient(to right, ${stops.join(", ")})`;
}

function channels(hex) {
  return [0, 2, 4].map((i) => Number.parseInt(hex.slice(i, i + 2), 16));
}
