/* Which events and properties a tenant has: what the pickers offer. */

const NAMES_MAX = 100;
const SAMPLE = 2000; // of the latest events are looked into for their properties
const SQL_PROPERTIES = `SELECT key AS name, count(*) AS n
  FROM (SELECT properties FROM raw_events ORDER BY seq DESC LIMIT ${SAMPLE}) AS latest, json_each(latest.properties)
  GROUP BY key ORDER BY n DESC, key LIMIT 60`;
// Of the latest events, which kinds come first to a person and which later, on average.
const ORDERED = 20_000;
const SQL_ORDER = `WITH latest AS (SELECT user_id, event, timestamp FROM raw_events WHERE user_id IS NOT NULL ORDER BY seq DESC LIMIT ${ORDERED}),
  begun AS (SELECT user_id, min(timestamp) AS at FROM latest GROUP BY user_id),
  first AS (SELECT user_id, event, min(timestamp) AS at FROM latest GROUP BY user_id, event)
  SELECT event, avg(first.at - begun.at) AS after_ms FROM first JOIN begun USING (user_id) WHERE event NOT LIKE '$%'
  GROUP BY event ORDER BY count(*) DESC LIMIT 4`;
const SHOWN_ELSEWHERE = new Set(["page", "path", "url", "title", "referrer", "$pathname", "$current_url", "$referrer", "utm_source"]);

export class Catalog {
  #api;
  #asked = new Map();

  constructor(api) {
    this.#api = api;
  }

  forget() {
    this.#asked.clear();
  }

  /** List the names of events, the one of most persons first. */
  events() {
    return this.#once("events", async () => {
      const { from, to } = this.#api.range;
      const asked = { by: "event", metric: "users", limit: NAMES_MAX, from, to };
      const { value } = await this.#api.get("/top", asked);
      return value.rows.map((row) => row.value).filter((name) => name !== null);
    });
  }

  /** Propose steps of a funnel: the events that most persons have, in the order of their coming. */
  steps() {
    return this.#once("steps", async () => {
      const { value } = await this.#api.sql(SQL_ORDER);
      return value.rows.sort((a, b) => a.after_ms - b.after_ms).map((row) => row.event);
    });
  }

  /** List the names of properties, the most frequent first. */
  properties() {
    return this.#once("properties", async () => {
      const { value } = await this.#api.sql(SQL_PROPERTIES);
      return value.rows.map((row) => row.name);
    });
  }

  /** Choose the property that says most to somebody who has chosen none. */
  async property() {
    const names = await this.properties();
    return names.find((name) => name === "country" || name === "plan") ??
      names.find((name) => !SHOWN_ELSEWHERE.has(name)) ?? "user";
  }

  #once(what, ask) {
    const key = `${what} ${this.#api.tenant} ${JSON.stringify(this.#api.range)}`;
    if (!this.#asked.has(key)) {
      const promise = ask();
      promise.catch(() => this.#asked.delete(key));
      this.#asked.set(key, promise);
    }
    return this.#asked.get(key);
  }
}
