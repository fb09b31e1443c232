/* Of those who came first in a period, how many came again in the ones after it. */

import { fill, h, segmented } from "../dom.js";
import { day, number, percent, point } from "../format.js";
import { Panel, nothing } from "../panel.js";

const PERIODS = [["day", "Days"], ["week", "Weeks"], ["month", "Months"]];
const COLUMNS_MAX = 12;

export function retention({ api, store }) {
  const periods = h("div");
  return new Panel({
    id: "retention",
    title: "Retention",
    tools: [periods],
    needs: ({ tenant, tz, bots, cohorts }) => ({ tenant, tz, bots, cohorts }),
    load: (signal) => {
      const { cohorts, tz, bots } = store.now;
      fill(periods, segmented("Cohorts", PERIODS, cohorts, (chosen) => store.set({ cohorts: chosen })));
      return api.get("/retention", { period: cohorts, ...(tz && { tz }), ...(!bots && { bots: "false" }) }, signal);
    },
    draw: (cohorts, body) => draw(cohorts, body, store.now.cohorts),
    rows: (cohorts) => {
      const columns = Math.max(0, ...cohorts.map((each) => each.retained.length));
      return [["cohort", "size", ...Array.from({ length: columns }, (_, k) => k)],
        cohorts.map((each) => [each.cohort, each.size, ...each.retained])];
    },
  });
}

function draw(all, body, period) {
  const cohorts = all.slice(-COLUMNS_MAX);
  if (!cohorts.length) return fill(body, nothing("Nobody has come yet. Events that carry a userId or an anonymousId make cohorts."));
  const columns = Math.min(COLUMNS_MAX, Math.max(...cohorts.map((each) => each.retained.length)));
  const heads = Array.from({ length: columns }, (_, k) => h("th", { scope: "col" }, k === 0 ? `${period} 0` : String(k)));
  return fill(body, h("div.scroll", { tabindex: "0", role: "region", "aria-label": "Table of retention" },
    h("table.triangle", {},
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "First came"), h("th.number", { scope: "col" }, "Users"), heads)),
      h("tbody", {}, average(cohorts, columns), cohorts.map((each) => row(each, columns, period))))),
    h("p.list-foot", {}, `All events, whatever the range and the filters. Cells in outline: the ${period} has not ended.`));
}

function row({ cohort, size, retained }, columns, period) {
  return h("tr", {},
    h("th", { scope: "row" }, period === "month" ? point(cohort, period) : day(cohort)),
    h("td.number", {}, number(size)),
    Array.from({ length: columns }, (_, k) => cell(retained[k], size, k === retained.length - 1)));
}

function cell(count, size, partial) {
  if (count === undefined) return h("td.none");
  const share = size ? count / size : 0;
  const depth = share > 0.5 ? ".deep" : "";
  return h(`td.cell${depth}${partial ? ".partial" : ""}`, { style: { "--share": share.toFixed(3) }, title: `${number(count)} of ${number(size)}${partial ? ", so far" : ""}` }, size ? percent(share) : "–");
}

/** The mean over cohorts, each by its size; periods that have not ended are left out. */
function average(cohorts, columns) {
  const cells = Array.from({ length: columns }, (_, k) => {
    const ended = cohorts.filter((each) => k < each.retained.length - 1);
    const size = ended.reduce((sum, each) => sum + each.size, 0);
    return size ? cell(ended.reduce((sum, each) => sum + each.retained[k], 0), size, false) : h("td.none");
  });
  const size = cohorts.reduce((sum, each) => sum + each.size, 0);
  return h("tr.mean", {}, h("th", { scope: "row" }, "All"), h("td.number", {}, number(size)), cells);
}
