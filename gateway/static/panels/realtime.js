/* What happens now: who is here, events by minute, and each event as it comes. */

import { bars } from "../chart.js";
import { fill, h } from "../dom.js";
import { clock, compact, number } from "../format.js";
import { MINUTES } from "../live.js";
import { Panel } from "../panel.js";

const WINDOWS = [["1m", "1 min"], ["5m", "5 min"], ["30m", "30 min"]];
const TOLD = ["page", "path", "feature", "plan", "amount", "title", "name"]; // what says most of an event
const SHOWN = 40;

export function realtime({ api, store, live }) {
  const active = h("div.windows");
  const minutes = h("div.minutes");
  const log = h("ol.log", { "aria-label": "Latest events", tabindex: "0" });
  const status = h("span.status", { role: "status" });
  const panel = new Panel({
    id: "realtime",
    title: "Right now",
    tools: [status],
    needs: ({ tenant }) => ({ tenant }),
    load: async () => null,
    draw: (_, body) => fill(body, active, h("h3", {}, "Events per minute, last 30 minutes"), minutes, h("h3", {}, "Latest events"), log),
    rows: () => [["timestamp", "event", "user_id", "properties"], live.log.map((one) => [new Date(one.timestamp).toISOString(), one.event, one.user, one.properties])],
  });

  const drawMinutes = () => {
    const last = Math.floor(Date.now() / 60_000);
    const counts = Array.from({ length: MINUTES }, (_, i) => live.minutes.get(last - MINUTES + 1 + i) ?? 0);
    fill(minutes, bars(counts, (i) => `${clock((last - MINUTES + 1 + i) * 60_000, api.zone).slice(0, 5)}: ${number(counts[i])}`),
      h("div.bars-ends", {}, h("span", {}, "30 min ago"), h("span", {}, "now")));
  };
  const draw = () => {
    status.textContent = live.connected === false ? "reconnecting…" : live.connected ? "live" : "";
    status.classList.toggle("away", live.connected === false);
    fill(active, WINDOWS.map(([id, name]) => h("div.window", {}, h("b", {}, compact(live.counters[`active_${id}`] ?? 0)), h("span", {}, name))));
    drawMinutes();
    fill(log, live.log.slice(0, SHOWN).map((one) => line(one, api.zone, store)),
      live.log.length === 0 && h("li.nothing", {}, "Events show here as they arrive."));
    panel.csv.disabled = live.log.length === 0;
    panel.value = true;
    panel.tell(live.took);
  };
  let due = 0; // a busy tenant is drawn once a frame, however many changes come
  live.listen(() => {
    if (!due) due = requestAnimationFrame(() => { due = 0; draw(); });
  });
  setInterval(() => document.hidden || drawMinutes(), 15_000); // the minutes go on without events
  return panel;
}

function line(one, zone, store) {
  const fresh = one.fresh;
  one.fresh = false; // it lights up once
  const said = TOLD.map((name) => one.properties?.[name]).find((value) => value !== undefined && value !== null);
  return h(`li${fresh ? ".fresh" : ""}`, {},
    h("time", {}, clock(one.timestamp, zone)),
    h("b", {}, one.event),
    h("span.said", {}, said === undefined ? "" : String(said)),
    one.user ? h("button.link", { type: "button", onclick: () => store.set({ user: one.user }) }, one.user) : h("span"));
}
