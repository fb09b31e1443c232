/* Live events by a subscription, nothing of it by asking again and again.
 *
 * The first question is which events there are and where they end; the subscription goes on from
 * there, and after a lost connection from the last change that came. So nothing is missed and
 * nothing counted twice, whatever happens to the network or the server in between.
 */

import { newWebSocketRpcSession } from "./vendor/capnweb.js";

export const MINUTES = 30;
const LOG_MAX = 60;
const RETRY_MS = [300, 600, 1200, 2500, 5000];
const SQL_LATEST = `SELECT seq, event, user_id, anonymous_id, timestamp, properties FROM raw_events ORDER BY seq DESC LIMIT ${LOG_MAX}`;
const SQL_MINUTES = "SELECT timestamp / 60000 AS minute, count(*) AS n FROM raw_events WHERE timestamp >= ? AND seq <= ? GROUP BY minute";

export class Live {
  #api;
  #listeners = new Set();
  #turn = 0; // of the tenant that is followed; what belongs to an earlier one is dropped
  #socket = null;
  #attempts = 0;

  constructor(api) {
    this.#api = api;
    this.clear();
  }

  clear() {
    this.cursor = null;
    this.counters = {};
    this.minutes = new Map(); // minute since 1970 -> events
    this.log = []; // newest first
    this.connected = null; // null: not yet
    this.took = null;
  }

  /** Call a function with the events of every change, and when the connection comes or goes. */
  listen(listener) {
    this.#listeners.add(listener);
  }

  /** Follow the tenant that is looked at now; `stats` is what /stats answered of it. */
  async follow(stats) {
    const turn = ++this.#turn;
    this.#hangUp();
    this.clear();
    this.took = { layer: stats.layer, ms: stats.ms };
    this.#count(stats.value);
    this.#tell([]);
    const { rows } = (await this.#api.sql(SQL_LATEST)).value;
    const last = rows.length ? rows[0].seq : null;
    const since = (Math.floor(Date.now() / 60_000) - MINUTES) * 60_000;
    const counted = await this.#api.sql(SQL_MINUTES, { params: [since, last ?? 0] });
    if (turn !== this.#turn) return;
    this.cursor = last;
    this.log = rows.map((row) => ({
      seq: row.seq, event: row.event, user: row.user_id, timestamp: row.timestamp,
      properties: JSON.parse(row.properties ?? "{}"), fresh: false,
    }));
    for (const { minute, n } of counted.value.rows) this.minutes.set(minute, n);
    this.#tell([]);
    this.#connect(turn);
  }

  /** Stop. */
  stop() {
    this.#turn += 1;
    this.#hangUp();
  }

  #hangUp() {
    const socket = this.#socket;
    this.#socket = null;
    try { socket?.[Symbol.dispose]?.(); } catch (_) { /* it was gone already */ }
  }

  async #connect(turn) {
    const address = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/rpc`;
    let lost = false;
    const onLost = () => {
      if (lost || turn !== this.#turn) return;
      lost = true;
      this.#hangUp();
      this.connected = false;
      this.#tell([]);
      const wait = RETRY_MS[Math.min(this.#attempts++, RETRY_MS.length - 1)];
      setTimeout(() => turn === this.#turn && this.#connect(turn), wait);
    };
    try {
      const root = (this.#socket = newWebSocketRpcSession(address));
      root.onRpcBroken(onLost);
      const { secret } = this.#api.session;
      const whose = this.#api.tenant;
      const opened = secret ? root.authenticate(secret) : root;
      const tenant = secret && this.#api.session.tenant ? opened : opened.Analytics(whose);
      await this.#subscribe(tenant, turn);
      if (turn !== this.#turn) return;
      this.#attempts = 0;
      this.connected = true;
      this.#tell([]);
    } catch (_) {
      onLost();
    }
  }

  async #subscribe(tenant, turn) {
    const take = (change) => {
      if (turn === this.#turn) this.#take(change);
    };
    try {
      await tenant.subscribe(this.cursor, take);
    } catch (error) {
      if (error?.code !== "invalid_argument") throw error;
      await tenant.subscribe(null, take); // what the cursor names has been archived since
    }
  }

  #take(change) {
    this.cursor = change.cursor;
    Object.assign(this.counters, change.counters);
    const events = change.events.map((one) => ({
      seq: one.seq, event: one.event, user: one.userId ?? one.anonymousId, timestamp: one.timestamp,
      properties: one.properties, fresh: true,
    }));
    for (const { timestamp } of events) {
      const minute = Math.floor(timestamp / 60_000);
      this.minutes.set(minute, (this.minutes.get(minute) ?? 0) + 1);
    }
    this.log = [...events.reverse(), ...this.log].slice(0, LOG_MAX);
    this.#tell(events);
  }

  #count(stats) {
    for (const [window, count] of Object.entries(stats.active)) this.counters[`active_${window}`] = count;
    for (const [name, count] of Object.entries(stats.events)) this.counters[`event:${name}`] = count;
  }

  #tell(events) {
    for (const listener of this.#listeners) listener(events);
  }
}
