// Round numbers along axes.

const TIME_STEPS = [
  0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 43200, 86400,
];

/** Return the smallest of 1, 2, 5 × 10ⁿ that is not below a number. */
export function step(least) {
  const power = 10 ** Math.floor(Math.log10(least));
  return [1, 2, 5, 10].map((digit) => digit * power).find((candidate) => candidate >= least * (1 - 1e-9)) ?? least;
}

/** Return the round numbers in a range, about `number` of them, and how many decimals they need. */
export function ticks(low, high, number) {
  const apart = step((high - low) / Math.max(1, number));
  const values = [];
  for (let i = Math.ceil(low / apart - 1e-9); i * apart <= high + 1e-9 * apart; i++) values.push(i * apart);
  return { values, decimals: Math.max(0, -Math.floor(Math.log10(apart) + 1e-9)) };
}

/** Return a number as a label: plain, or with an exponent where it would be long. */
export function label(value, decimals) {
  const size = Math.abs(value);
  if (size >= 1e5 || (size > 0 && size < 1e-3)) return value.toExponential(1).replace("e+", "e").replace(".0e", "e");
  const text = value.toFixed(decimals);
  return (Number(text) === 0 ? text.replace("-", "") : text).replace("-", "\u2212");
}

/** Return the step of a time axis that has at most so many labels, s. */
export function timeStep(span, most) {
  return TIME_STEPS.find((candidate) => span / candidate <= most) ?? TIME_STEPS.at(-1);
}

/** Return a time as an axis shows it: HH:MM, HH:MM:SS, or with the fraction that the step needs. */
export function timeLabel(time, apart) {
  const [date, clock] = iso(time, 2);
  if (time % 86400 === 0) return date.slice(5);
  if (apart >= 60) return clock.slice(0, 5);
  return apart >= 1 ? clock.slice(0, 8) : clock.slice(0, apart >= 0.1 ? 10 : 11);
}

/** Return date and time of day, UTC. */
export function iso(time, decimals = 2) {
  if (!Number.isFinite(time) || Math.abs(time) > 8e12) return ["", "–"];
  const rounded = Math.floor(time * 10 ** decimals + 1e-4) / 10 ** decimals;
  const [date, clock] = new Date(Math.round(rounded * 1000)).toISOString().split("T");
  return [date, clock.slice(0, 9 + decimals)];
}
