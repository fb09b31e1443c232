/* Ranges of days, as people choose them, and what suits them. */

import { dateIn, day } from "./format.js";

export const RANGES = [
  { id: "today", name: "Today", key: "d", days: 1 },
  { id: "7d", name: "Last 7 days", key: "w", days: 7 },
  { id: "30d", name: "Last 30 days", key: "t", days: 30 },
  { id: "90d", name: "Last 90 days", key: "q", days: 90 },
  { id: "12mo", name: "Last 12 months", key: "l", months: 12 },
];

export const INTERVALS = [["hour", "Hours"], ["day", "Days"], ["week", "Weeks"], ["month", "Months"]];
const HOURS_DAYS_MAX = 14; // more hours than these are no line that anybody reads

/** Move a date by days. */
export function plusDays(date, days) {
  const made = new Date(`${date}T00:00:00Z`);
  made.setUTCDate(made.getUTCDate() + days);
  return made.toISOString().slice(0, 10);
}

/** Count the days from one date to another, both included. */
export function daysBetween(from, to) {
  return Math.round((Date.parse(`${to}T00:00:00Z`) - Date.parse(`${from}T00:00:00Z`)) / 86_400_000) + 1;
}

/** Say from which day to which a state looks: `{from, to, days}`. */
export function rangeOf(state, zone) {
  const today = dateIn(zone);
  if (state.range === "custom" && isDate(state.from) && isDate(state.to)) {
    const [from, to] = [state.from, state.to].sort();
    return { from, to, days: daysBetween(from, to) };
  }
  const known = RANGES.find((each) => each.id === state.range) ?? RANGES[2];
  const from = known.months ? monthsBefore(today, known.months - 1) : plusDays(today, 1 - known.days);
  return { from, to: today, days: daysBetween(from, today) };
}

/** Say in which steps a range is drawn, and in which it might be. */
export function intervalOf(state, days) {
  const possible = INTERVALS.map(([id]) => id).filter((id) =>
    (id === "hour" && days <= HOURS_DAYS_MAX) || (id === "day" && days > 1) ||
    (id === "week" && days > 13) || (id === "month" && days > 60));
  const suits = days <= 1 ? "hour" : days <= 92 ? "day" : days <= 190 ? "week" : "month";
  return { possible, interval: possible.includes(state.interval) ? state.interval : suits };
}

/** Name the range of a state. */
export function rangeName(state, zone) {
  const known = RANGES.find((each) => each.id === state.range);
  if (known) return known.name;
  const { from, to } = rangeOf(state, zone);
  return from === to ? day(from) : `${day(from)} – ${day(to)}`;
}

/** Give the range of the same length right before (-1) or after (1), as changes to a state. */
export function shifted(state, zone, by) {
  const { from, days } = rangeOf(state, zone);
  const next = plusDays(from, by * days);
  if (next > dateIn(zone)) return null;
  return { range: "custom", from: next, to: plusDays(next, days - 1) };
}

const isDate = (text) => /^\d{4}-\d{2}-\d{2}$/.test(text) && !Number.isNaN(Date.parse(text));

function monthsBefore(date, months) {
  const made = new Date(`${date.slice(0, 7)}-01T00:00:00Z`);
  made.setUTCMonth(made.getUTCMonth() - months);
  return made.toISOString().slice(0, 10);
}
