/* The frame of every panel: its title, the chip that says what answered, its CSV, and what it shows
 * while it waits or when it was refused. */

import { download } from "./csv.js";
import { ICONS, fill, h, icon, iconButton } from "./dom.js";
import { took } from "./format.js";

const LAYERS = {
  L0: "memory: the counters of the tenant's object",
  L1: "the log: acknowledged a moment ago",
  L2: "SQLite: one file, and its rollups",
  L3: "the Iceberg archive, and SQLite",
};

export class Panel {
  #asked = null;
  #key = null;

  /**
   * `needs(state)` is what it depends on: it asks again when that has changed. `load(signal)` asks,
   * and gives an answer of the Api's; `draw(value, body)` shows its value; `rows(value)` gives
   * `[columns, rows]` for the CSV.
   */
  constructor({ id, title, needs, load, draw, rows, tools = [], wide = false }) {
    Object.assign(this, { id, needs, load, draw, rows });
    this.value = null;
    this.chip = h("span.chip", { hidden: true });
    this.body = h("div.panel-body");
    this.csv = iconButton("download", `Download ${title} as CSV`, () => this.#save(), { hidden: !rows, disabled: true });
    this.tools = h("div.panel-tools", {}, tools);
    this.title = h("h2", { id: `${id}-title` }, title);
    this.element = h(`section.panel${wide ? ".wide" : ""}`, { id, "aria-labelledby": `${id}-title` },
      h("header.panel-head", {}, this.title, this.tools, h("div.panel-end", {}, this.chip, this.csv)), this.body);
  }

  /** Ask again if what it depends on has changed, or in any case. */
  async refresh(state, { force = false, quiet = false } = {}) {
    const key = JSON.stringify(this.needs(state));
    if (key === this.#key && !force) return;
    this.#key = key;
    this.#asked?.abort();
    const asked = (this.#asked = new AbortController());
    if (!quiet) this.element.classList.add("loading");
    if (this.value === null) fill(this.body, skeleton());
    try {
      const answer = await this.load(asked.signal);
      if (asked.signal.aborted) return;
      this.value = answer?.value ?? null;
      this.tell(answer);
      this.csv.disabled = this.value === null;
      this.draw(this.value, this.body);
    } catch (error) {
      if (asked.signal.aborted || error.name === "AbortError") return;
      this.#key = null; // so that the next change asks again
      this.refuse(error);
    } finally {
      if (asked === this.#asked) this.element.classList.remove("loading");
    }
  }

  /** Show which layer answered, and how long that took. */
  tell(answer) {
    this.chip.hidden = !answer?.layer;
    if (!answer?.layer) return;
    this.chip.textContent = answer.ms === null ? answer.layer : `${answer.layer} · ${took(answer.ms)}`;
    this.chip.dataset.layer = answer.layer;
    this.chip.title = `Answered by ${LAYERS[answer.layer] ?? answer.layer}${answer.degraded ? `. Lost to a damaged log: ${answer.degraded}` : ""}`;
    this.chip.classList.toggle("degraded", Boolean(answer.degraded));
  }

  /** Show why there is nothing. */
  refuse(error) {
    this.value = null;
    this.csv.disabled = true;
    this.chip.hidden = true;
    fill(this.body, h("p.refused", { role: "alert" }, icon(ICONS.alert), h("span", {}, error.message)));
  }

  #save() {
    if (this.value === null) return;
    const [columns, rows] = this.rows(this.value);
    download(`raydo-${this.id}.csv`, columns, rows);
  }
}

/** Say that there is nothing, and what would bring something. */
export function nothing(text, ...more) {
  return h("p.nothing", {}, text, ...more);
}

function skeleton() {
  return h("div.skeleton", { "aria-hidden": "true" }, h("i"), h("i"), h("i"));
}
