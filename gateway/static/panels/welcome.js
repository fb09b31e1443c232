/* What a tenant without events shows: how the first one comes. */

import { ICONS, fill, h, icon } from "../dom.js";

const TENANTS_SHOWN = 24;

/** Show it; it goes by itself when an event arrives. `others` promises the names of other tenants. */
export function welcome(place, { tenant, keyed, others, choose }) {
  const origin = location.origin;
  const key = keyed ? " -H 'Authorization: Bearer WRITE_KEY'" : "";
  const whose = keyed || tenant === "default" ? "" : ` -H 'X-Tenant: ${tenant}'`;
  const shown = JSON.stringify(tenant);
  fill(place, h("section.welcome", {},
    h("h1", {}, "No events of ", h("b", {}, tenant), " yet"),
    offer(others, choose),
    h("p", {}, h("i.pulse"), " Send one in any of these ways. It shows here within a second, by itself."),
    way("From a terminal", `curl -X POST ${origin}/track${key}${whose} \\\n  -d '{"event":"PageView","properties":{"userId":"123","page":"/pricing"}}'`),
    way("From a web page", `<script defer src="${origin}/raydo.js" ${keyed ? 'data-key="BROWSER_KEY"' : `data-tenant="${tenant}"`}></script>`),
    way("From Python", `import raydo\n\nasync with raydo.connect("${origin}"${keyed ? ', key="WRITE_KEY"' : ""}) as connection:\n    acme = connection.Analytics(${shown})\n    await acme.track("PageView", {"userId": "123", "page": "/pricing"})`),
    way("Only to look around: 20 tenants, 90 days", `raydo demo --url ${origin}`),
    h("p.quiet", {}, "The SDKs of Segment, RudderStack, PostHog and Mixpanel send here too; see ", h("a", { href: "/docs" }, "every endpoint"), ".")));
}

/** A place where the tenants that have something to show appear, once they are known. */
function offer(others, choose) {
  const place = h("div.chips");
  others.then((names) => {
    if (!names.length) return;
    fill(place, h("span.quiet", {}, "Look at"), names.slice(0, TENANTS_SHOWN).map((name) => h("button.filter", { type: "button", onclick: () => choose(name) }, name)));
  }, () => {}); // a key for one tenant is not told of others
  return place;
}

function way(name, code) {
  const button = h("button.ghost.square", {
    type: "button", "aria-label": `Copy: ${name}`, title: "Copy",
    onclick: async () => {
      await navigator.clipboard?.writeText(code);
      fill(button, icon(ICONS.check));
    },
  }, icon(ICONS.copy));
  return h("div.way", {}, h("h2", {}, name), h("pre", {}, h("code", {}, code)), button);
}
