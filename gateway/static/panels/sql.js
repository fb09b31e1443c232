/* SQL over all of the tenant's events, now or as they were known at an earlier moment. */

import { LineChart } from "../chart.js";
import { ICONS, fill, h, icon, segmented, select } from "../dom.js";
import { cell, number } from "../format.js";
import { Panel, nothing } from "../panel.js";

const ROWS_SHOWN = 200;
const ROWS_ASKED = 10_000;
const EXAMPLES = [
  ["Users by day", "SELECT date, count(DISTINCT person_id) AS users, count(*) AS events\nFROM events GROUP BY date ORDER BY date"],
  ["Events by hour of day", "SELECT substr(local_hour(timestamp), 12, 2) AS hour, count(*) AS events\nFROM events GROUP BY hour ORDER BY hour"],
  ["First event of each person", "SELECT first AS date, count(*) AS new_users FROM (\n  SELECT person_id, min(date) AS first FROM events WHERE person_id IS NOT NULL GROUP BY person_id\n) GROUP BY first ORDER BY first"],
  ["Most active persons", "SELECT person_id, count(*) AS events, max(date) AS last_seen\nFROM events GROUP BY person_id ORDER BY events DESC LIMIT 50"],
  ["Days, from the rollups", "SELECT date, dau, events FROM daily_metrics ORDER BY date"],
  ["All tables", "SELECT name, type FROM sqlite_master WHERE name NOT LIKE '\\_%' ESCAPE '\\' ORDER BY name"],
];

export function sql({ api, store }) {
  const chart = new LineChart(240);
  let view = "table";
  const editor = h("textarea.editor", { "aria-label": "SQL", rows: "4", spellcheck: "false", autocapitalize: "off", autocomplete: "off" });
  const asOf = h("input", { type: "datetime-local", step: "1", id: "as-of", "aria-label": "As of, in your own clock's time" });
  const run = () => {
    const asked = { sql: editor.value.trim(), asOf: asOf.value ? new Date(asOf.value).toISOString() : "" };
    if (store.now.sql === asked.sql && store.now.asOf === asked.asOf) panel.refresh(store.now, { force: true });
    else store.set(asked);
  };
  const result = h("div.result", { "aria-live": "polite" });
  const form = h("form.console", { onsubmit: (event) => { event.preventDefault(); run(); } },
    editor,
    h("div.console-foot", {},
      select("Examples", [["", "Examples…"], ...EXAMPLES.map(([name]) => [name, name])], "", (name) => {
        editor.value = EXAMPLES.find(([each]) => each === name)?.[1] ?? editor.value;
        run();
      }),
      h("label.inline", { for: "as-of" }, "as of", asOf),
      h("span.quiet.keys", {}, h("kbd", {}, "Ctrl"), " ", h("kbd", {}, "Enter")),
      h("button.primary", { type: "submit" }, icon(ICONS.play), "Run")));
  editor.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); run(); }
  });

  const panel = new Panel({
    id: "sql",
    title: "SQL",
    wide: true,
    needs: ({ tenant, sql: text, asOf: at }) => ({ tenant, text, at }),
    load: async (signal) => {
      const { sql: text, asOf: at } = store.now;
      if (!panel.element.contains(document.activeElement) || text) editor.value = text || editor.value || EXAMPLES[0][1];
      asOf.value = at ? localTime(at) : "";
      if (!text) return null;
      return api.sql(text, { asOf: at, limit: ROWS_ASKED, signal });
    },
    draw: (value, body) => {
      const show = () => fill(result, value ? shown(value, view, chart, (chosen) => { view = chosen; show(); }) : nothing("Run it to see rows here: a table, a chart, a file."));
      fill(body, form, result);
      show();
    },
    rows: ({ columns, rows }) => [columns.map((each) => each.name), rows.map((row) => columns.map((each) => row[each.name]))],
  });
  panel.refuse = function refuse(error) {
    Panel.prototype.refuse.call(this, error);
    fill(result, ...this.body.childNodes);
    fill(this.body, form, result);
  };
  return panel;
}

function shown(value, view, chart, choose) {
  const plot = plotOf(value);
  const told = [`${number(value.rows.length)} ${value.rows.length === 1 ? "row" : "rows"}${value.truncated ? ", cut off" : ""}`,
    `read from ${value.layers.join(" and ")}`, value.snapshot_id && `archive snapshot ${value.snapshot_id}`].filter(Boolean).join(" · ");
  const head = h("div.result-head", {}, h("span.quiet", {}, told), plot && segmented("Show as", [["table", "Table"], ["chart", "Chart"]], view, choose));
  if (!value.rows.length) return [head, nothing("No rows.")];
  if (plot && view === "chart") {
    chart.draw(plot);
    return [head, chart.element];
  }
  return [head, table(value), value.rows.length > ROWS_SHOWN && h("p.list-foot", {}, `The first ${ROWS_SHOWN}; the CSV has all ${number(value.rows.length)}.`)];
}

function table({ columns, rows }) {
  const numeric = columns.map(({ name }) => rows.every((row) => row[name] === null || typeof row[name] === "number"));
  return h("div.scroll", { tabindex: "0", role: "region", "aria-label": "Result" }, h("table.rows", {},
    h("thead", {}, h("tr", {}, columns.map(({ name }, i) => h(`th${numeric[i] ? ".number" : ""}`, { scope: "col" }, name)))),
    h("tbody", {}, rows.slice(0, ROWS_SHOWN).map((row) => h("tr", {}, columns.map(({ name }, i) =>
      h(`td${numeric[i] ? ".number" : ""}`, {}, row[name] === null ? h("span.null", {}, "null") : cell(row[name]))))))));
}

/** A first column of labels and numbers beside it are a chart. */
function plotOf({ columns, rows }) {
  const [first, ...rest] = columns.map((each) => each.name);
  const numbers = rest.filter((name) => rows.some((row) => typeof row[name] === "number")).slice(0, 2);
  if (rows.length < 2 || rows.length > 5000 || !numbers.length) return null;
  const labels = rows.map((row) => cell(row[first]));
  return {
    labels,
    ticks: labels.map((label) => (/^\d{4}-\d\d-\d\d$/.test(label) ? label.slice(5) : label.slice(0, 12))),
    lines: numbers.map((name, i) => ({ name, colour: i ? "--second" : "--accent", values: rows.map((row) => row[name]), dashed: i > 0 })),
    summary: `${numbers.join(" and ")} by ${first}, ${rows.length} rows`,
  };
}

function localTime(iso) {
  const made = new Date(iso);
  return new Date(made.getTime() - made.getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
}
