// Saving what is seen: the newest frame in full from the server, or the picture as it is on the screen.

const KINDS = ["npy", "png", "tiff"];

/** Keep the links up to date, and make pictures. */
export function connectSaving(element, { name, settings }) {
  const update = () => {
    const correct = ["flat", "dark", "pipeline"].filter((what) => settings.get(what)).join(",");
    for (const kind of KINDS) {
      const query = new URLSearchParams({ format: kind, ...(correct ? { correct } : {}) });
      element(`save-${kind}`).href = `frame?${query}`;
    }
  };
  settings.on(["flat", "dark", "pipeline"], update);
  update();
  element("save-picture").addEventListener("click", () => {
    element("image").toBlob((blob) => {
      const anchor = document.createElement("a");
      anchor.href = URL.createObjectURL(blob);
      anchor.download = `${name}-${element("image").dataset.unique}.png`;
      anchor.click();
      setTimeout(() => URL.revokeObjectURL(anchor.href), 10_000);
    });
  });
}
