/* How numbers, moments and spans of time are written. */

const whole = new Intl.NumberFormat("en");
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const decimal = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });

export const number = (value) => (Number.isInteger(value) ? whole : decimal).format(value);
export const compact = (value) => (Math.abs(value) < 10_000 ? number(value) : short.format(value));
export const percent = (share) => `${decimal.format(share * 100)}%`;
export const plural = (count, noun) => `${number(count)} ${noun}${count === 1 ? "" : "s"}`;

/** Say how long it took: `0.1 ms`, `84 ms`, `1.2 s`. */
export function took(ms) {
  if (ms >= 1000) return `${(ms / 1000).toFixed(1)} s`;
  return ms >= 10 ? `${Math.round(ms)} ms` : `${Math.max(ms, 0.1).toFixed(1)} ms`;
}

/** Say a span as people do: `45 s`, `12 min`, `16.6 h`, `3.2 d`. */
export function span(ms) {
  if (ms === null || ms === undefined) return "–";
  for (const [unit, size] of [["d", 86_400_000], ["h", 3_600_000], ["min", 60_000], ["s", 1000]]) {
    if (ms >= size * (unit === "s" ? 1 : 1.5)) return `${decimal.format(ms / size)} ${unit}`;
  }
  return `${Math.round(ms)} ms`;
}

/** Compare with the period before: a share, or null where there was nothing. */
export const change = (now, before) => (before ? (now - before) / before : null);

/** Write a day as `24 Nov`, with its year where it is not this one. */
export function day(date) {
  const made = new Date(`${date}T00:00:00Z`);
  const sameYear = made.getUTCFullYear() === new Date().getUTCFullYear();
  return made.toLocaleDateString("en-GB", { timeZone: "UTC", day: "numeric", month: "short", ...(sameYear ? {} : { year: "numeric" }) });
}

/** Write a point of a series: an hour, a day, a week or a month. */
export function point(at, interval) {
  if (at.includes("T")) return `${day(at.slice(0, 10))}, ${at.slice(11)}`;
  const made = new Date(`${at}T00:00:00Z`);
  if (interval === "month") return made.toLocaleDateString("en-GB", { timeZone: "UTC", month: "short", year: "numeric" });
  const weekday = made.toLocaleDateString("en-GB", { timeZone: "UTC", weekday: "short" });
  return interval === "week" ? `week of ${day(at)}` : `${weekday} ${day(at)}`;
}

/** Write a tick below a chart, as short as can be. */
export function tick(at, interval) {
  if (at.includes("T")) return at.slice(11) === "00:00" ? day(at.slice(0, 10)) : at.slice(11);
  if (interval === "month") return point(at, interval).slice(0, 3);
  return day(at);
}

/** Write the time of day of a moment, in a zone. */
export function clock(ms, zone) {
  return new Date(ms).toLocaleTimeString("en-GB", { timeZone: zone, hour: "2-digit", minute: "2-digit", second: "2-digit" });
}

/** Write a moment whole, in a zone. */
export function moment(ms, zone) {
  return new Date(ms).toLocaleString("en-GB", { timeZone: zone, dateStyle: "medium", timeStyle: "medium" });
}

/** Give the date that a moment has in a zone, as YYYY-MM-DD. */
export function dateIn(zone, ms = Date.now()) {
  return new Intl.DateTimeFormat("en-CA", { timeZone: zone, year: "numeric", month: "2-digit", day: "2-digit" }).format(ms);
}

/** Write any value of a row. */
export function cell(value) {
  if (value === null || value === undefined) return "";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
