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
  inverted: "ffffff 000000",
  inferno:
    "000004 050417 110a30 210c4a 320a5e 450a69 57106e 67166e 781c6d 8a226a 9a2865 ab2f5e bc3754 ca404a d84c3e e45a31 " +
    "ed6925 f57b17 f98e09 fca108 fbb61a f9cb35 f4df53 f2f27d fcffa4",
};

export const NAMES = ["turbo", "viridis", "grey"]; // for spectra
export const FOR_IMAGES = ["grey", "inverted", "viridis", "inferno", "turbo"];
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
