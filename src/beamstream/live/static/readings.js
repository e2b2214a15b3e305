// How it goes, in words and numbers.

const SILENT = 3; // s, or so many periods
const PERIODS = 5;

/** Say what the connection and the spectra do: one of a few words for colours, and a sentence. */
export function state({ connection, attempts, picture, status, age }) {
  if (connection === "connecting" && !attempts) return ["waiting", "connecting"];
  if (connection !== "open") return ["lost", "server not reachable, trying again"];
  if (picture.paused) return ["paused", picture.behind ? `paused, ${picture.behind} spectra wait` : "paused"];
  if (status?.trouble) return ["lost", status.trouble];
  if (!picture.rows?.length) return ["waiting", status?.waiting || "waiting for spectra"];
  if (status?.connected === false) {
    return ["waiting", status.waiting || "publisher gone, waiting for spectra"];
  }
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

/** A number of bytes. */
export function bytes(value) {
  if (!Number.isFinite(value)) return "–";
  const power = Math.min(4, Math.max(0, Math.floor(Math.log10(Math.max(1, value)) / 3)));
  const scaled = value / 1000 ** power;
  const digits = power === 0 || scaled >= 100 ? 0 : scaled >= 10 ? 1 : 2;
  return `${scaled.toFixed(digits)} ${["B", "kB", "MB", "GB", "TB"][power]}`;
}

/** A length of time as a clock shows it: 12 s, 3:07, 2:03:07. */
export function span(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  if (seconds < 10) return `${Math.max(0, seconds).toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (n) => String(n).padStart(2, "0");
  return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

/** A time of day here, with the date if it is another day's than that of `now`; both s since 1970-01-01 UTC. */
export function clock(seconds, now) {
  const [day, time] = new Date(seconds * 1000).toLocaleString("sv-SE").split(" ");
  const [today] = new Date(now * 1000).toLocaleString("sv-SE").split(" ");
  return day === today ? time : `${day.slice(5)} ${time.slice(0, 5)}`;
}
