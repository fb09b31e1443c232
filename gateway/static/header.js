/* The bar on top: whose data, which days, in which zone, with or without bots, and the theme. */

import { ICONS, fill, h, icon, iconButton, select } from "./dom.js";
import { dateIn } from "./format.js";
import { RANGES, plusDays, rangeName } from "./periods.js";

const TENANTS_SHOWN = 100;

export class Header {
  constructor({ api, store, session, proof, keys }) {
    Object.assign(this, { api, store, session });
    this.tenant = menu("Tenant");
    this.range = menu("Range of days");
    this.zone = h("div.zone");
    this.find = h("form.find", { role: "search", onsubmit: (event) => this.#find(event) },
      icon(ICONS.search), h("input", { type: "search", name: "user", placeholder: "Find a user", "aria-label": "Find a user by id", autocomplete: "off", spellcheck: "false" }));
    this.bots = h("button.ghost.toggle", { type: "button", onclick: () => store.set({ bots: !store.now.bots }) });
    const leave = iconButton("exit", "Sign out", () => session.close(), { hidden: !session.secret || session.embedded });
    this.leave = leave;
    this.element = h("header.top", {},
      h("div.bar", {},
        h("a.brand", { href: location.pathname, "aria-label": "raydo, the dashboard from its beginning" }, mark(), "raydo"),
        this.tenant.element, proof.element, h("div.spacer"), this.find,
        iconButton("keyboard", "Keyboard shortcuts", keys.show), themeButton(), leave),
      h("div.bar.second", {}, this.chips = h("div.chips"), h("div.spacer"), this.bots, this.zone, this.range.element));
  }

  refresh() {
    const { now } = this.store;
    this.leave.hidden = !this.session.secret || this.session.embedded;
    fill(this.tenant.summary, h("span.quiet", {}, "tenant"), h("b", {}, this.api.tenant), icon(ICONS.down));
    this.tenant.onOpen = () => this.#offerTenants();
    fill(this.range.summary, h("b", {}, rangeName(now, this.api.zone)), icon(ICONS.down));
    this.range.onOpen = () => this.#offerRanges();
    this.bots.setAttribute("aria-pressed", String(!now.bots));
    fill(this.bots, now.bots ? "With bots" : "Without bots");
    fill(this.zone, select("Time zone", zones(this.api.settings.zone), now.tz || this.api.settings.zone,
      (tz) => this.store.set({ tz: tz === this.api.settings.zone ? "" : tz })));
    this.#drawChips();
  }

  #drawChips() {
    const { filters } = this.store.now;
    fill(this.chips,
      filters.map((text) => h("button.filter", { type: "button", title: `Take the filter ${text} off`, onclick: () => this.store.filter(text) },
        ...said(text), icon(ICONS.close))),
      filters.length > 1 && h("button.link", { type: "button", onclick: () => this.store.set({ filters: [] }) }, "Clear all"),
      !filters.length && h("span.quiet.hint", {}, "Click a row of any panel to filter by it."));
  }

  async #offerTenants() {
    const list = h("div.options");
    const field = h("input", { type: "search", placeholder: "Tenant", "aria-label": "Tenant's name", autocomplete: "off", spellcheck: "false" });
    const go = (tenant) => {
      this.tenant.element.open = false;
      if (tenant) this.store.enter(tenant);
    };
    let names = [];
    const offer = () => {
      const found = names.filter((name) => name.includes(field.value)).slice(0, TENANTS_SHOWN);
      fill(list, found.map((name) => h("button.option", { type: "button", "aria-current": name === this.api.tenant ? "true" : undefined, onclick: () => go(name) }, name)));
    };
    field.addEventListener("input", offer);
    fill(this.tenant.card, h("form", { onsubmit: (event) => { event.preventDefault(); go(field.value.trim()); } }, field), list);
    field.focus();
    try {
      names = await this.api.tenants();
    } catch (_) {
      fill(list, h("p.quiet", {}, "No list of tenants for this key: type a name."));
      return;
    }
    offer();
  }

  #offerRanges() {
    const { now } = this.store;
    const { from, to } = this.api.range;
    const today = dateIn(this.api.zone);
    const dates = ["from", "to"].map((name) => h("input", { type: "date", name, value: name === "from" ? from : to, max: plusDays(today, 1), required: true, "aria-label": name === "from" ? "First day" : "Last day" }));
    const close = () => { this.range.element.open = false; };
    fill(this.range.card,
      h("div.options", {}, RANGES.map((each) => h("button.option", { type: "button", "aria-current": each.id === now.range ? "true" : undefined, onclick: () => { close(); this.store.set({ range: each.id, from: "", to: "", interval: "" }); } },
        each.name, h("kbd", {}, each.key.toUpperCase())))),
      h("form.custom", { onsubmit: (event) => { event.preventDefault(); close(); this.store.set({ range: "custom", from: dates[0].value, to: dates[1].value, interval: "" }); } },
        h("span.quiet", {}, "From … to, both included"), dates, h("button.primary", { type: "submit" }, "Show")));
    return now.range === "custom" && dates[0].focus();
  }

  #find(event) {
    event.preventDefault();
    const user = new FormData(this.find).get("user").trim();
    if (user) this.store.set({ user });
  }
}

/** A menu that opens below its button, and closes by Escape or a click elsewhere. */
function menu(label) {
  const made = { summary: h("summary", { "aria-label": undefined }), card: h("div.card.pop", { role: "group", "aria-label": label }), onOpen: () => {} };
  made.element = h("details.menu", {}, made.summary, made.card);
  made.element.addEventListener("toggle", () => made.element.open && made.onOpen());
  return made;
}

/** Close whatever menu is open, but for the one that something lies in. */
export function closeMenus(inside = null) {
  let closed = false;
  for (const each of document.querySelectorAll("details.menu[open]")) {
    if (each.contains(inside)) continue;
    each.open = false;
    closed = true;
  }
  return closed;
}

function themeButton() {
  const dark = () => {
    const { theme } = document.documentElement.dataset;
    return theme ? theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  };
  const button = iconButton(dark() ? "sun" : "moon", "Dark or light", () => {
    const theme = dark() ? "light" : "dark";
    document.documentElement.dataset.theme = theme;
    try { localStorage.setItem("raydo.theme", theme); } catch (_) { /* then until the page is left */ }
    fill(button, icon(ICONS[dark() ? "sun" : "moon"]));
    dispatchEvent(new Event("raydo:theme"));
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    fill(button, icon(ICONS[dark() ? "sun" : "moon"]));
    dispatchEvent(new Event("raydo:theme"));
  });
  return button;
}

function zones(own) {
  const here = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const all = Intl.supportedValuesOf?.("timeZone") ?? [];
  return [...new Set([own, here, "UTC", ...all])].map((name) => [name, name.replaceAll("_", " ")]);
}

function said(filter) {
  const at = filter.indexOf(":");
  const without = filter[at - 1] === "!";
  return [h("span", {}, filter.slice(0, without ? at - 1 : at)), without ? " is not " : " is ", h("b", {}, filter.slice(at + 1))];
}

function mark() {
  const svg = icon("M4 17v-3.5M9.3 17V9M14.7 17v-5.5M20 17V6");
  svg.classList.add("mark");
  return svg;
}
