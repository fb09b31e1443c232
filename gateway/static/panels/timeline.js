/* What one person did, in a drawer beside everything else. */

import { ICONS, fill, h, icon, iconButton } from "../dom.js";
import { download } from "../csv.js";
import { cell, clock, dateIn, day, plural, took } from "../format.js";

const PAGE = 50;

export class Timeline {
  #context;
  #asked = null;
  #events = [];

  constructor(context) {
    this.#context = context;
    this.chip = h("span.chip", { hidden: true });
    this.title = h("h2", { id: "timeline-title" });
    this.body = h("div.drawer-body", { tabindex: "0" });
    this.element = h("dialog.drawer", { "aria-labelledby": "timeline-title", onclose: () => this.#closed(), onclick: (event) => event.target === this.element && this.element.close() },
      h("header.panel-head", {}, this.title,
        h("div.panel-end", {}, this.chip, iconButton("download", "Download the timeline as CSV", () => this.#save()), iconButton("close", "Close", () => this.element.close()))),
      this.body);
  }

  /** Show the person that the state names, or nobody. */
  refresh({ user, tenant }) {
    const key = user && `${tenant} ${user}`;
    if (key === this.#asked) return;
    this.#asked = key;
    if (!user) {
      if (this.element.open) this.element.close();
      return;
    }
    this.#events = [];
    this.title.textContent = user;
    fill(this.body, h("p.nothing", {}, "…"));
    if (!this.element.open) this.element.showModal();
    this.body.focus();
    this.#load(user, null);
  }

  async #load(user, before) {
    const asked = this.#asked;
    try {
      const answer = await this.#context.api.get(`/users/${encodeURIComponent(user)}`, { limit: PAGE, ...(before && { before }) });
      if (asked !== this.#asked) return;
      this.chip.hidden = false;
      this.chip.dataset.layer = answer.layer;
      this.chip.textContent = `${answer.layer} · ${took(answer.ms ?? 0)}`;
      this.#events.push(...answer.value.events);
      this.#draw(answer.value);
    } catch (error) {
      if (asked === this.#asked) fill(this.body, h("p.refused", { role: "alert" }, icon(ICONS.alert), error.message));
    }
  }

  #draw({ user_id: user, ids, next }) {
    const zone = this.#context.api.zone;
    if (!this.#events.length) {
      fill(this.body, h("p.nothing", {}, `No event of ${user}. Ids are compared as they are, capitals too.`));
      return;
    }
    fill(this.body,
      ids.length > 1 && h("p.ids", {}, "Known as ", ids.map((id) => h("code", {}, id))),
      [...byDay(this.#events, zone)].map(([date, events]) => h("section", {}, h("h3", {}, `${day(date)} · ${plural(events.length, "event")}`), h("ol.timeline", {}, events.map((each) => item(each, zone))))),
      next && h("button.ghost", { type: "button", onclick: () => this.#load(user, next) }, "Earlier events"));
  }

  #save() {
    download(`raydo-${this.title.textContent}.csv`, ["timestamp", "event", "userId", "anonymousId", "properties", "id"],
      this.#events.map((each) => [new Date(each.timestamp).toISOString(), each.event, each.userId, each.anonymousId, each.properties, each.id]));
  }

  #closed() {
    this.#asked = "";
    if (this.#context.store.now.user) this.#context.store.set({ user: "" });
  }
}

function item(each, zone) {
  const properties = Object.entries(each.properties ?? {});
  return h("li", {},
    h("time", {}, clock(each.timestamp, zone)),
    h("div", {}, h("b", {}, each.event, each.bot && h("span.badge", {}, "bot")),
      properties.length > 0 && h("dl.properties", {}, properties.map(([name, value]) => [h("dt", {}, name), h("dd", {}, cell(value))]))));
}

function byDay(events, zone) {
  const days = new Map();
  for (const each of events) {
    const date = dateIn(zone, each.timestamp);
    days.set(date, [...(days.get(date) ?? []), each]);
  }
  return days;
}
