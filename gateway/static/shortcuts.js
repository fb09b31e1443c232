/* Keys that do what else takes a click: the days as Plausible has them, "/" to search, "?" for this. */

import { h, iconButton, isTyping } from "./dom.js";
import { closeMenus } from "./header.js";
import { RANGES, shifted } from "./periods.js";

export class Shortcuts {
  constructor() {
    this.element = h("dialog.help", { "aria-labelledby": "help-title", onclick: (event) => event.target === this.element && this.element.close() });
    this.show = () => this.element.showModal();
  }

  /** Listen, now that there is something to be steered. */
  start({ store, api, header }) {
    const actions = new Map([
      ...RANGES.map((each) => [each.key, [each.name, () => store.set({ range: each.id, from: "", to: "", interval: "" })]]),
      ["c", ["Days of your choice", () => { header.range.element.open = true; header.range.card.querySelector("input[name=from]")?.focus(); }]],
      ["ArrowLeft", ["The days before", () => shift(store, api, -1)]],
      ["ArrowRight", ["The days after", () => shift(store, api, 1)]],
      ["m", ["Users or events", () => store.set({ metric: store.now.metric === "events" ? "users" : "events" })]],
      ["b", ["With or without bots", () => store.set({ bots: !store.now.bots })]],
      ["/", ["Find a user", () => header.find.querySelector("input").focus()]],
      ["s", ["SQL", () => document.querySelector("#sql textarea")?.focus()]],
      ["Escape", ["Close a menu, or take the filters off", () => closeMenus() || (store.now.filters.length && store.set({ filters: [] }))]],
      ["?", ["These keys", this.show]],
    ]);
    const named = { ArrowLeft: "←", ArrowRight: "→", Escape: "Esc" };
    this.element.append(
      h("header.panel-head", {}, h("h2", { id: "help-title" }, "Keyboard"), h("div.panel-end", {}, iconButton("close", "Close", () => this.element.close()))),
      h("dl.keys", {}, [...actions].map(([key, [what]]) => h("div", {}, h("dt", {}, h("kbd", {}, named[key] ?? key.toUpperCase())), h("dd", {}, what)))));
    addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
      if (isTyping(event.target)) {
        if (event.key === "Escape") closeMenus() || event.target.blur();
        return;
      }
      if (event.target.closest?.("[role=region], .segmented") && event.key.startsWith("Arrow")) return;
      const action = actions.get(event.key.length === 1 ? event.key.toLowerCase() : event.key);
      if (!action || !header.element.isConnected) return;
      event.preventDefault();
      action[1]();
    });
    addEventListener("click", (event) => closeMenus(event.target));
  }
}

function shift(store, api, by) {
  const next = shifted(store.now, api.zone, by);
  if (next) store.set(next);
}
