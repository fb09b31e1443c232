/* How many take some steps in order, within a time; the steps are chosen here. */

import { ICONS, fill, h, icon, iconButton, select } from "../dom.js";
import { number, percent, span } from "../format.js";
import { Panel, nothing } from "../panel.js";

const STEPS_MAX = 8;
const WINDOWS = { "1h": 3600, "1d": 86_400, "7d": 604_800, "14d": 1_209_600, "30d": 2_592_000, "90d": 7_776_000 };
const NAMES = [["1h", "1 hour"], ["1d", "1 day"], ["7d", "7 days"], ["14d", "14 days"], ["30d", "30 days"], ["90d", "90 days"]];

export function funnel({ api, store, catalog }) {
  const tools = h("div.inline");
  const panel = new Panel({
    id: "funnel",
    title: "Funnel",
    tools: [tools],
    needs: ({ tenant, range, from, to, tz, bots, filters, steps, window }) => ({ tenant, range, from, to, tz, bots, filters, steps, window }),
    load: async (signal) => {
      const [events, steps] = await Promise.all([catalog.events(), store.now.steps.length ? store.now.steps.slice(0, STEPS_MAX) : catalog.steps()]);
      fill(tools, h("span.quiet", {}, "within"), select("Time for all steps", NAMES, store.now.window, (window) => store.set({ window })));
      if (steps.length < 2) return { value: { steps: [], events } };
      const { filter, bots, ...days } = api.scope();
      const asked = { steps, window_s: WINDOWS[store.now.window] ?? WINDOWS["14d"], ...days, ...(filter.length && { filters: filter }), ...(bots && { bots: false }) };
      const answer = await api.post("/funnel", asked, signal);
      return { ...answer, value: { ...answer.value, events } };
    },
    draw: (value, body) => draw(value, body, store),
    rows: ({ steps }) => [
      ["step", "event", "persons", "conversion", "conversion_from_previous", "drop_off", "median_from_previous_ms"],
      steps.map((each, i) => [i + 1, each.event, each.persons, each.conversion, each.conversion_from_previous, each.drop_off, each.median_from_previous_ms]),
    ],
  });
  return panel;
}

function draw({ steps, events, conversion }, body, store) {
  if (steps.length < 2) {
    return fill(body, nothing("A funnel has two steps at least; this range has fewer kinds of events."));
  }
  const names = steps.map((each) => each.event);
  const change = (next) => store.set({ steps: next });
  return fill(body,
    h("ol.funnel", {}, steps.map((each, i) => step(each, i, names, events, change))),
    h("div.funnel-foot", {},
      names.length < STEPS_MAX && h("button.ghost", { type: "button", onclick: () => change([...names, next(names, events)]) }, icon(ICONS.plus), "Add a step"),
      h("strong", {}, `${percent(conversion)} go all the way`)));
}

function step(each, i, names, events, change) {
  const options = [...new Set([...events, each.event])].map((name) => [name, name]);
  const replace = (name) => change(names.map((old, at) => (at === i ? name : old)));
  return h("li", {},
    i > 0 && h("p.between", {}, `${percent(each.conversion_from_previous)} go on`, h("span", {}, `${number(each.drop_off)} leave`), each.median_from_previous_ms !== null && h("span", {}, `median ${span(each.median_from_previous_ms)}`)),
    h("div.step", {},
      h("span.step-number", {}, String(i + 1)),
      select(`Step ${i + 1}`, options, each.event, replace),
      names.length > 2 && iconButton("close", `Remove step ${i + 1}`, () => change(names.filter((_, at) => at !== i))),
      h("span.step-count", {}, number(each.persons)),
      h("span.step-share", {}, percent(each.conversion))),
    h("div.step-bar", {}, h("i", { style: { width: `${each.conversion * 100}%` } })));
}

const next = (names, events) => events.find((name) => !names.includes(name)) ?? events[0];
