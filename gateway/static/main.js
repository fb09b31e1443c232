/* The dashboard: what there is, and what follows from what. */

import { Api } from "./api.js";
import { Catalog } from "./catalog.js";
import { fill, h } from "./dom.js";
import { Header } from "./header.js";
import { Live } from "./live.js";
import { funnel } from "./panels/funnel.js";
import { overview } from "./panels/overview.js";
import { realtime } from "./panels/realtime.js";
import { retention } from "./panels/retention.js";
import { sql } from "./panels/sql.js";
import { Timeline } from "./panels/timeline.js";
import { topPanels } from "./panels/top.js";
import { welcome } from "./panels/welcome.js";
import { Proof } from "./proof.js";
import { Session } from "./session.js";
import { Shortcuts } from "./shortcuts.js";
import { signIn } from "./signin.js";
import { Store } from "./state.js";

const FRESH_MS = 5_000; // what came live is in the numbers so soon, and in the panels
const FRESH_SHARE = 20; // and takes a twentieth of the server's time at most
const FRESH = new Set(["overview", "events", "pages", "sources", "properties"]);
const PROOF_MS = 60_000;
const AGAIN_MS = 2_000; // until a server that starts is asked again

const store = new Store();
const session = new Session();
const api = new Api(session, store);
const live = new Live(api);
const catalog = new Catalog(api);
const context = { api, store, live, catalog };

const panels = [overview(context), realtime(context), ...topPanels(context), retention(context), funnel(context), sql(context)];
const timeline = new Timeline(context);
const proof = new Proof(api);
const keys = new Shortcuts();
const header = new Header({ api, store, session, proof, keys });
const place = document.querySelector("main");
const grid = h("div.grid", {}, panels.map((each) => each.element));
const beside = document.querySelector("#beside");

let shown = ""; // "panels", "welcome", "sign-in": what stands in `main`
let away = false; // the connection was lost
let stale = false; // events came that the panels do not have yet

async function open() {
  if (session.lacksKey) return showSignIn("");
  place.setAttribute("aria-busy", "true");
  try {
    api.settings = (await api.get("/settings")).value;
    const stats = await api.get("/stats");
    fill(beside, header.element, timeline.element, keys.element);
    header.refresh();
    if (Object.keys(stats.value.events).length) showPanels();
    else showWelcome();
    await live.follow(stats);
  } catch (error) {
    if (shown !== "sign-in") refuse(error);
  } finally {
    place.removeAttribute("aria-busy");
  }
  return undefined;
}

function showPanels() {
  if (shown !== "panels") fill(place, grid);
  shown = "panels";
  refresh({ force: true }).then(() => proof.refresh()); // after them, or it would time its own wait
}

function showWelcome() {
  shown = "welcome";
  document.title = `${api.tenant} · raydo`;
  fill(place);
  proof.refresh();
  const others = api.tenants().then((names) => names.filter((name) => name !== api.tenant));
  welcome(place, { tenant: api.tenant, keyed: session.secret !== null, others, choose: (name) => store.enter(name) });
}

function showSignIn(reason) {
  live.stop();
  shown = "sign-in";
  fill(beside);
  signIn(place, { reason, embedded: session.embedded, opened: (key) => { session.open(key); shown = ""; open(); } });
}

function refuse(error) {
  live.stop();
  fill(beside, header.element);
  header.refresh();
  shown = "refused";
  fill(place, h("section.sign-in", {}, h("h1", {}, "Nothing can be shown"), h("p", { role: "alert" }, error.message),
    h("button.primary", { type: "button", onclick: open }, "Try again")));
  if (error.passes) setTimeout(() => shown === "refused" && open(), AGAIN_MS);
}

async function refresh(how) {
  document.title = `${api.tenant} · raydo`;
  timeline.refresh(store.now);
  const [first, ...others] = panels;
  await first.refresh(store.now, how); // what is looked at first has the server to itself
  await Promise.all(others.map((panel) => panel.refresh(store.now, how)));
}

store.listen((now, before) => {
  if (now.tenant !== before.tenant) {
    catalog.forget();
    shown = shown === "sign-in" ? shown : "";
    open();
    return;
  }
  header.refresh();
  if (shown === "panels") refresh();
});

session.onClose(showSignIn);

live.listen((events) => {
  if (away && live.connected && shown === "panels") refresh().then(() => proof.refresh()); // what was refused meanwhile
  away = live.connected === false;
  if (!events.length) return;
  if (shown === "welcome") showPanels();
  stale = true;
});

/** Ask again for what the latest events changed; the longer it takes, the less often. */
async function freshen() {
  let took = 0;
  if (stale && !document.hidden && shown === "panels") {
    stale = false;
    const begun = performance.now();
    const changed = panels.filter((panel) => FRESH.has(panel.id));
    await Promise.all(changed.map((panel) => panel.refresh(store.now, { force: true, quiet: true })));
    took = performance.now() - begun;
  }
  setTimeout(freshen, Math.max(FRESH_MS, took * FRESH_SHARE));
}

setInterval(() => document.hidden || shown !== "panels" || proof.refresh(), PROOF_MS);

keys.start({ store, api, header });
freshen();
open();
