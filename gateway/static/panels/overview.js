/* The first numbers, each against the period before, and one chart of what is chosen among them. */

import { LineChart } from "../chart.js";
import { h, fill, segmented } from "../dom.js";
import { change, compact, number, percent, point, tick } from "../format.js";
import { Panel, nothing } from "../panel.js";
import { INTERVALS, intervalOf } from "../periods.js";

export function overview({ api, store, live }) {
  const chart = new LineChart(290);
  const tiles = h("div.tiles", { role: "group", "aria-label": "What the chart shows" });
  const steps = h("div");
  const key = h("div.legend");
  const now = activeNow(live);

  const panel = new Panel({
    id: "overview",
    title: "Overview",
    wide: true,
    tools: [key, steps],
    needs: ({ tenant, range, from, to, tz, bots, filters, interval, metric }) =>
      ({ tenant, range, from, to, tz, bots, filters, interval, metric }),
    load: (signal) => ask(api, signal),
    draw: (value, body) => {
      drawTiles(value, tiles, now, store);
      drawSteps(steps, store, api);
      const shown = store.now.metric === "events" ? value.events : value.users;
      drawLegend(key, shown, store.now.metric);
      drawChart(chart, shown, store.now.metric);
      fill(body, tiles, chart.element, shown.points.every((each) => !each.value) && empty(store));
    },
    rows: ({ users, events }) => [
      ["at", "users", "events", "users_previous", "events_previous", "partial"],
      users.points.map((each, i) => [
        each.at, each.value, events.points[i].value, users.previous?.points[i]?.value ?? "",
        events.previous?.points[i]?.value ?? "", String(each.partial),
      ]),
    ],
  });
  return panel;
}

async function ask(api, signal) {
  const asked = { ...api.scope(), interval: api.interval, compare: "previous" };
  const filtered = asked.filter.length > 0;
  const [users, events, active] = await Promise.all([
    api.get("/timeseries", { ...asked, metric: "users" }, signal),
    api.get("/timeseries", { ...asked, metric: "events" }, signal),
    filtered ? null : api.get("/active", { ...api.scope({ filters: false }), from: asked.to }, signal),
  ]);
  const value = { users: users.value, events: events.value, stickiness: active?.value.days.at(-1)?.stickiness ?? null };
  return { ...users, value, ms: Math.max(users.ms, events.ms) };
}

function drawTiles({ users, events, stickiness }, tiles, now, store) {
  const perUser = users.total ? events.total / users.total : 0;
  const before = users.previous?.total ? events.previous.total / users.previous.total : 0;
  const choose = (metric) => () => store.set({ metric });
  fill(tiles,
    now,
    tile("Users", compact(users.total), change(users.total, users.previous?.total), { chosen: store.now.metric !== "events", onclick: choose("users"), exact: users.total }),
    tile("Events", compact(events.total), change(events.total, events.previous?.total), { chosen: store.now.metric === "events", onclick: choose("events"), exact: events.total }),
    tile("Events per user", perUser.toFixed(1), change(perUser, before)),
    stickiness !== null && tile("Stickiness", percent(stickiness), undefined, { title: "Users of the last day, of those of 30 days (DAU / MAU)" }));
}

function tile(name, value, share, { chosen, onclick, exact, title } = {}) {
  const inside = [h("span.tile-name", {}, name), h("span.tile-value", { title: exact === undefined ? title : number(exact) }, value),
    share === undefined ? h("span.delta.none", {}, "today, DAU / MAU") : delta(share)];
  if (!onclick) return h("div.tile", { title }, inside);
  return h("button.tile", { type: "button", "aria-pressed": String(chosen), onclick }, inside);
}

function delta(share) {
  if (share === null) return h("span.delta.none", {}, "nothing before");
  const sign = share > 0.0005 ? "up" : share < -0.0005 ? "down" : "same";
  const arrow = { up: "↑", down: "↓", same: "→" }[sign];
  return h(`span.delta.${sign}`, {}, `${arrow} ${percent(Math.abs(share))}`, h("span.hide", {}, " against the period before"));
}

function activeNow(live) {
  const value = h("span.tile-value", {}, "–");
  const told = h("span.delta.none", {}, "in the last 5 minutes");
  const element = h("div.tile.now", {}, h("span.tile-name", {}, h("i.pulse"), "Active now"), value, told);
  live.listen(() => {
    value.textContent = compact(live.counters.active_5m ?? 0);
  });
  return element;
}

function drawSteps(place, store, api) {
  const { possible, interval } = intervalOf(store.now, api.range.days);
  if (possible.length < 2) return fill(place);
  const offered = INTERVALS.filter(([id]) => possible.includes(id));
  return fill(place, segmented("Steps of the chart", offered, interval, (chosen) => store.set({ interval: chosen })));
}

function drawLegend(place, shown, metric) {
  fill(place, h("span.key", {}, h("i.line"), metric === "events" ? "Events" : "Users"),
    shown.previous?.total > 0 && h("span.key", {}, h("i.line.before"), "Period before"));
}

function drawChart(chart, shown, metric) {
  const name = metric === "events" ? "Events" : "Users";
  const { points, interval } = shown;
  const before = shown.previous?.total ? shown.previous.points : [];
  const partial = points.findIndex((each) => each.partial);
  const now = partial < 0 ? points.length : partial; // what comes after it is not known to be 0
  chart.draw({
    labels: points.map((each) => point(each.at, interval) + (each.partial ? " (so far)" : "")),
    ticks: points.map((each) => tick(each.at, interval)),
    lines: [
      ...(before.length ? [{
        name: "Before", colour: "--before", dashed: true,
        values: points.map((_, i) => before[i]?.value ?? null), notes: before.map((each) => point(each.at, interval)),
      }] : []),
      { name, colour: "--accent", values: points.map((each, i) => (i > now ? null : each.value)), partial: now < points.length ? now : null },
    ].reverse(),
    summary: `${name} from ${shown.from} to ${shown.to}: ${number(shown.total)} in all. The CSV of this panel has every value.`,
  });
}

function empty(store) {
  const filtered = store.now.filters.length > 0;
  return nothing(filtered ? "No event of this range passes all filters. " : "No events in this range. ",
    h("button.link", { type: "button", onclick: () => store.set(filtered ? { filters: [] } : { range: "12mo" }) },
      filtered ? "Take the filters off" : "Look at 12 months"));
}
