// How it goes, in words and numbers.

const SILENT = 3; // s, or so many periods
const PERIODS = 5;

/** Say what the connection and the spectra do: one of a few words for colours, and a sentence. */
export function state({ connection, attempts, picture, status, age }) {
  if (connection === "connecting" && !attempts) return ["waiting", "connecting"];
  if (connection !== "open") return ["lost", "server not reachable, trying again"];
  if (picture.paused) return ["paused", picture.behind ? `paused, ${picture.behind} spectra wait` : "paused"];
  if (status?.trouble) return ["lost", status.trouble];
  if (!picture.rows?.length) return ["waiting", "waiting for spectra"];
  if (status?.connected === false) return ["waiting", "publisher gone, waiting for spectra"];
  const patience = Math.max(SILENT, status?.rate > 0 ? PERIODS / status.rate : 0);
  if (age > patience) return ["waiting", `no spectra for ${duration(age)}`];
  return ["live", "live"];
}

/** A duration in the unit that suits it. */
export function duration(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  const size = Math.abs(seconds);
  if (size < 1) return `${Math.round(seconds * 1000)} ms`;
  if (size < 10) return `${seconds.toFixed(1)} s`;
  if (size < 120) return `${Math.round(seconds)} s`;
  return size < 7200 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3600)} h`;
}

/** A rate, per second. */
export function rate(value) {
  if (!Number.isFinite(value)) return "–";
  return `${value >= 100 ? Math.round(value) : value >= 10 ? value.toFixed(1) : value.toFixed(2)} / s`;
}

/** A count with thin spaces between thousands. */
export function count(value) {
  return Number.isFinite(value) ? String(value).replace(/\B(?=(\d{3})+$)/g, "\u2009") : "–";
}

/** Put a text into an element, and a mark that it is worth a look. */
export function write(element, text, striking = false) {
  if (element.textContent !== text) element.textContent = text;
  element.classList.toggle("striking", striking);
}
