/* The proof in the header: what was acknowledged is what is counted; and what the month has cost.
 *
 * The counters (L0) are added to in the turn that acknowledges an event. Rows are counted by SQL, in
 * the log, SQLite and the archive. The counters are read before and after the rows: if they agree,
 * the rows must be exactly as many; if events came meanwhile, the rows must lie between.
 */

import { ICONS, fill, h, icon } from "./dom.js";
import { compact, number, took } from "./format.js";

const ATTEMPTS = 3;
const SQL_ROWS = "SELECT count(*) AS n FROM events";
const SQL_NAMED = "SELECT count(*) AS n FROM events WHERE event IN (SELECT value FROM json_each(?))";

/** Compare: `{acknowledged, counted, equal, exact, of, stats, rows}`. */
export async function prove(api) {
  for (let attempt = 1; ; attempt += 1) {
    const before = await api.get("/stats");
    // With more names than it lists, those are compared that it does list.
    const names = before.value.truncated ? Object.keys(before.value.events) : null;
    const rows = names ? await api.sql(SQL_NAMED, { params: [JSON.stringify(names)] }) : await api.sql(SQL_ROWS);
    const after = await api.get("/stats");
    const [low, high] = [before, after].map(({ value }) => total(value, names));
    const counted = rows.value.rows[0].n;
    const exact = low === high;
    if (exact || attempt === ATTEMPTS) {
      return { acknowledged: high, counted, equal: exact ? counted === low : counted >= low && counted <= high, exact, of: names?.length ?? null, stats: before, rows };
    }
  }
}

/** The part of the header that shows it. */
export class Proof {
  #api;
  #turn = 0;

  constructor(api) {
    this.#api = api;
    this.summary = h("summary.proof", { hidden: true });
    this.told = h("div.card");
    this.cost = h("span.cost", { hidden: true });
    this.element = h("div.inline", {}, h("details.menu", {}, this.summary, this.told), this.cost);
  }

  async refresh() {
    const turn = ++this.#turn;
    const [proof, costs] = await Promise.allSettled([prove(this.#api), this.#costs()]);
    if (turn !== this.#turn) return;
    this.summary.hidden = proof.status !== "fulfilled" || proof.value.acknowledged === 0;
    if (!this.summary.hidden) this.#draw(proof.value);
    this.cost.hidden = costs.status !== "fulfilled" || costs.value === null;
    if (!this.cost.hidden) this.#bill(costs.value);
  }

  /** Ask the ledger, as far as this key may. */
  async #costs() {
    if (!this.#api.session.administers) return null;
    const { value } = await this.#api.get("/admin/costs", { tenant: this.#api.tenant });
    const own = value.tenants.find((each) => each.object === "Analytics" && each.tenant === this.#api.tenant);
    return own ? { ...own, month: value.month, machine: value.prices.machine } : null;
  }

  #bill({ usd, cpu_usd: cpu, storage_usd: storage, month, machine }) {
    this.cost.title = `${month}: CPU ${dollars(cpu)}, storage ${dollars(storage)}, at the price of ${machine}`;
    fill(this.cost, h("b", {}, dollars(usd)), " this month");
  }

  #draw({ acknowledged, counted, equal, exact, of, stats, rows }) {
    this.summary.classList.toggle("wrong", !equal);
    fill(this.summary, icon(equal ? ICONS.check : ICONS.alert), h("span", {}, h("span.long", {}, "acknowledged "), h("b", {}, compact(acknowledged)), equal ? " = " : " ≠ ", h("b", {}, compact(counted)), h("span.long", {}, " counted")));
    fill(this.told, h("h3", {}, equal ? "Acknowledged = counted" : "These two should be equal"),
      h("table.plain", {}, h("tbody", {},
        line("Counters, in memory", acknowledged, stats), line("Rows, by SQL", counted, rows))),
      h("p.quiet", {}, exact
        ? "The counters were the same before and after the rows were counted, so both numbers are of one moment. What kill -9 interrupts is in both, or in neither and never acknowledged."
        : "Events came while it was counted: the rows lie between what the counters said before and after."),
      of !== null && h("p.quiet", {}, `Of the ${of} most frequent kinds of events.`),
      !equal && h("p.quiet", {}, "raydo repair shows what a damaged log has lost."),
      h("button.ghost", { type: "button", onclick: () => this.refresh() }, "Count again"));
  }
}

function line(name, count, answer) {
  return h("tr", {}, h("th", { scope: "row" }, name), h("td.number", {}, number(count)),
    h("td", {}, h("span.chip", { "data-layer": answer.layer }, `${answer.layer} · ${took(answer.ms ?? 0)}`)));
}

function total({ events }, names) {
  return (names ?? Object.keys(events)).reduce((sum, name) => sum + (events[name] ?? 0), 0);
}

const dollars = (value) => `$${value.toFixed(value < 0.1 ? 4 : 2)}`;
