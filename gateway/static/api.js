/* Questions to the server over HTTP. Each answer tells which layer had it, and how long that took. */

import { intervalOf, rangeOf } from "./periods.js";

/** What the server refused, in its own words. */
export class Refused extends Error {
  constructor(status, body) {
    super(body.message ?? "The server did not answer.");
    this.status = status;
    this.code = body.code ?? "unreachable";
    this.detail = body.detail ?? null;
    this.passes = status === 0 || status === 503; // it may be starting
  }
}

export class Api {
  constructor(session, store) {
    this.session = session;
    this.store = store;
    this.settings = { zone: "UTC", week_start: "monday" };
  }

  /** The tenant's name, to be shown and to be asked for. */
  get tenant() {
    return this.store.now.tenant || this.session.tenant || "default";
  }

  /** The zone in which days are counted. */
  get zone() {
    return this.store.now.tz || this.settings.zone;
  }

  get range() {
    return rangeOf(this.store.now, this.zone);
  }

  get interval() {
    return intervalOf(this.store.now, this.range.days).interval;
  }

  /** Give the parameters that say which days, whose, and of which events. */
  scope({ filters = true } = {}) {
    const { from, to } = this.range;
    const state = this.store.now;
    return {
      from, to,
      ...(state.tz ? { tz: state.tz } : {}),
      ...(state.bots ? {} : { bots: "false" }),
      ...(filters ? { filter: state.filters } : {}),
    };
  }

  /** Ask: `{value, layer, ms}`. Raises Refused. */
  async get(path, parameters = {}, signal = undefined) {
    const query = new URLSearchParams();
    for (const [name, value] of Object.entries(parameters)) {
      for (const each of [value].flat()) query.append(name, each);
    }
    const asked = query.toString();
    return this.#ask("GET", asked ? `${path}?${asked}` : path, undefined, signal);
  }

  async post(path, body, signal = undefined) {
    return this.#ask("POST", path, JSON.stringify(body), signal);
  }

  /** List the names of all tenants; only an administrator is told. */
  async tenants() {
    if (!this.session.administers) throw new Refused(403, { message: "This key is not for a list of tenants." });
    const { value } = await this.get("/admin/tenants");
    return [...new Set(value.tenants.filter((each) => each.object === "Analytics").map((each) => each.tenant))].sort();
  }

  /** Run SQL: the rows, with the layer and the time. */
  async sql(sql, { params, asOf, limit, signal } = {}) {
    return this.post("/query", { sql, ...(params && { params }), ...(asOf && { asOf }), ...(limit && { limit }) }, signal);
  }

  async #ask(method, path, body, signal) {
    const headers = {};
    if (this.session.secret) headers.authorization = `Bearer ${this.session.secret}`;
    // Whose key it is says whose data is meant, unless somebody chose another tenant.
    const address = this.store.now.tenant ? withTenant(path, this.store.now.tenant) : path;
    let reply;
    try {
      reply = await fetch(address, { method, headers, body, signal, credentials: "omit", cache: "no-store" });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Refused(0, { message: "The server cannot be reached." });
    }
    const value = await reply.json().catch(() => ({}));
    if (reply.status === 401) this.session.close(this.session.secret ? value.message : "");
    if (!reply.ok) throw new Refused(reply.status, value);
    const timing = /dur=([\d.]+)/.exec(reply.headers.get("server-timing") ?? "");
    return {
      value,
      layer: reply.headers.get("x-raydo-layer") ?? "",
      ms: timing ? Number(timing[1]) : null,
      degraded: reply.headers.get("x-raydo-degraded") ?? "",
    };
  }
}

function withTenant(path, tenant) {
  if (/[?&]tenant=/.test(path)) return path;
  return `${path}${path.includes("?") ? "&" : "?"}tenant=${encodeURIComponent(tenant)}`;
}
