/* What is looked at: all of it is in the address, so that a link shows the same and "back" goes back. */

export const DEFAULTS = {
  tenant: "", // "": what the key is for, or `default`
  range: "30d",
  from: "",
  to: "",
  tz: "", // "": the tenant's own zone
  bots: true,
  metric: "users",
  interval: "", // "": what suits the range
  filters: [],
  property: "",
  cohorts: "week",
  steps: [],
  window: "14d",
  sql: "",
  asOf: "",
  user: "",
};

const NAMES = { filters: "filter", steps: "step", asOf: "as_of", cohorts: "retention" };

/** Read a state from the part of an address that begins with "?". */
export function readState(search) {
  const query = new URLSearchParams(search);
  const state = {};
  for (const [key, fallback] of Object.entries(DEFAULTS)) {
    const name = NAMES[key] ?? key;
    if (Array.isArray(fallback)) state[key] = query.getAll(name);
    else if (typeof fallback === "boolean") state[key] = query.get(name) === null ? fallback : query.get(name) !== "false";
    else state[key] = query.get(name) ?? fallback;
  }
  return state;
}

/** Write a state as the part of an address that begins with "?"; what holds anyway is left out. */
export function writeState(state) {
  const query = new URLSearchParams();
  for (const [key, fallback] of Object.entries(DEFAULTS)) {
    const name = NAMES[key] ?? key;
    if (Array.isArray(fallback)) for (const each of state[key]) query.append(name, each);
    else if (state[key] !== fallback) query.set(name, String(state[key]));
  }
  // Slashes and colons are legal there, and a link is for people to read.
  const text = query.toString().replaceAll("%2F", "/").replaceAll("%3A", ":");
  return text ? `?${text}` : "";
}

/** The state of this page, and who wants to know when it changes. */
export class Store {
  #listeners = new Set();

  constructor() {
    this.now = readState(location.search);
    addEventListener("popstate", () => this.#become(readState(location.search)));
  }

  /** Change some of it. `replace` leaves no step to go back to. */
  set(changes, { replace = false } = {}) {
    const next = { ...this.now, ...changes };
    const address = location.pathname + writeState(next);
    if (address !== location.pathname + location.search) {
      history[replace ? "replaceState" : "pushState"](null, "", address);
    }
    this.#become(next);
  }

  /** Look at another tenant: the days stay, what belongs to the one before does not. */
  enter(tenant) {
    this.set({ tenant, filters: [], steps: [], property: "", user: "" });
  }

  /** Call a function with the state and the one before, at every change. */
  listen(listener) {
    this.#listeners.add(listener);
  }

  /** Have events filtered by one more property, or take the filter back if it is there. */
  filter(text) {
    const { filters } = this.now;
    this.set({ filters: filters.includes(text) ? filters.filter((each) => each !== text) : [...filters, text] });
  }

  #become(next) {
    const before = this.now;
    this.now = next;
    for (const listener of this.#listeners) listener(next, before);
  }
}
