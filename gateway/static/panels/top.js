/* The most frequent events, pages, sources and values of a property; a click filters by one. */

import { fill, h, select } from "../dom.js";
import { compact, number, percent } from "../format.js";
import { Panel, nothing } from "../panel.js";

const ROWS = 8;

const KINDS = [
  { id: "events", title: "Events", by: "event", none: "No events in this range." },
  { id: "pages", title: "Pages", by: "page", none: "No event of this range has a page. Send one as the property page, or put /raydo.js on your site." },
  { id: "sources", title: "Sources", by: "source", none: "No event of this range has a referrer or utm_source." },
];

export function topPanels(context) {
  return [...KINDS.map((kind) => fixed(context, kind)), properties(context)];
}

function fixed(context, { id, title, by, none }) {
  return panelOf(context, { id, title, by: () => by, none, tools: [] });
}

function properties(context) {
  const { store, catalog } = context;
  const place = h("div");
  const panel = panelOf(context, {
    id: "properties",
    title: "Properties",
    tools: [place],
    none: "No event of this range has this property.",
    by: async () => {
      const names = await catalog.properties();
      const chosen = store.now.property || (await catalog.property());
      const options = [["user", "users"], ...[...new Set([...names, chosen])].filter((name) => name !== "user").map((name) => [name, name])];
      fill(place, select("Property", options, chosen, (property) => store.set({ property })));
      return chosen;
    },
  });
  return panel;
}

function panelOf({ api, store }, { id, title, by, none, tools }) {
  let asked = "";
  return new Panel({
    id, title, tools,
    needs: ({ tenant, range, from, to, tz, bots, filters, metric, property }) =>
      ({ tenant, range, from, to, tz, bots, filters, metric, ...(id === "properties" && { property }) }),
    load: async (signal) => {
      asked = await by();
      return api.get("/top", { by: asked, metric: metricOf(store), limit: ROWS, ...api.scope() }, signal);
    },
    draw: (value, body) => draw(value, body, asked, store, none),
    rows: (value) => [[asked, value.metric], value.rows.map((row) => [row.value ?? "(none)", row.count])],
  });
}

const metricOf = (store) => (store.now.metric === "events" ? "events" : "users");

function draw(value, body, by, store, none) {
  const rows = value.rows.filter((row) => row.value !== null);
  const without = value.rows.find((row) => row.value === null);
  if (!rows.length) return fill(body, nothing(none));
  const most = rows[0].count;
  return fill(body,
    h("div.list-head", {}, h("span", {}, by), h("span", {}, value.metric)),
    h("ol.list", {}, rows.map((row) => h("li", {}, line(row, most, value.total, by, store)))),
    h("p.list-foot", {},
      value.other > 0 && `${number(value.other)} more in other values`,
      value.other > 0 && without && " · ",
      without && by !== "event" && `${number(without.count)} without`));
}

function line(row, most, total, by, store) {
  const filter = `${by}:${row.value}`;
  const chosen = store.now.filters.includes(filter);
  const onclick = () => (by === "user" ? store.set({ user: row.value }) : store.filter(filter));
  const what = by === "user" ? `Show what ${row.value} did` : chosen ? `Take the filter ${filter} off` : `Filter by ${filter}`;
  return h("button.row", { type: "button", onclick, title: what, "aria-pressed": by === "user" ? undefined : String(chosen) },
    h("i.fill", { style: { width: `${(row.count / most) * 100}%` } }),
    h("span.row-name", {}, row.value === "" ? "(empty)" : row.value),
    h("span.row-share", {}, total ? percent(row.count / total) : ""),
    h("span.row-count", { title: number(row.count) }, compact(row.count)));
}
