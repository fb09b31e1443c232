/* raydo.js: page views and events of a web page, to the raydo that serves this script.
 *
 *   <script defer src="https://raydo.example/raydo.js" data-key="raydo_browser_…"></script>
 *   raydo.track("Signup", { plan: "pro" });  raydo.identify("u42", { name: "Ada" });
 *
 * data-key       a write or browser key         data-tenant  whose events, on a server without keys
 * data-endpoint  another address of raydo       data-pageviews="manual"  only raydo.page() counts
 *
 * Where the browser asks for privacy (Global Privacy Control, Do Not Track) nothing is stored and
 * nothing is sent. An event waits in localStorage until the server has it, under an id that counts
 * once, so it may be sent again without harm: after a lost network, or on the visitor's next page.
 */
(function () {
  "use strict";

  var EVENTS_MAX = 200; // that wait; the oldest is dropped
  var BATCH = 20; // events in one request, far below what a browser sends from a page that closes
  var KEEPALIVE_MAX = 30000; // characters of a request that may outlive its page: browsers take 64 KB
  var LINGER_MS = 300;
  var RETRY_MS = [1000, 5000, 15000, 60000];

  var script = document.currentScript || document.querySelector("script[src*='/raydo.js']");
  var option = function (name) { return (script && script.getAttribute("data-" + name)) || ""; };
  var address = option("endpoint") || (script ? new URL(script.src).origin : location.origin);
  var asked = new URLSearchParams();
  if (option("key")) asked.set("writeKey", option("key"));
  if (option("tenant")) asked.set("tenant", option("tenant"));
  var endpoint = address.replace(/\/+$/, "") + "/raydo" + (String(asked) ? "?" + asked : "");

  var silent = navigator.globalPrivacyControl === true || navigator.doNotTrack === "1" ||
    window.doNotTrack === "1";
  var memory = {}; // where a page may store nothing
  var queue = [];
  var attempts = 0;
  var timer = 0;
  var sending = false;
  var previous = document.referrer;
  var shown = "";

  function load(name) {
    try { return localStorage.getItem("raydo." + name); } catch (_) { return memory[name] || null; }
  }

  function store(name, value) {
    memory[name] = value;
    try {
      if (value === null) localStorage.removeItem("raydo." + name);
      else localStorage.setItem("raydo." + name, value);
    } catch (_) { /* then until the page is left */ }
  }

  function id() {
    if (window.crypto && crypto.randomUUID) return crypto.randomUUID();
    var bytes = crypto.getRandomValues(new Uint8Array(16));
    return Array.prototype.map.call(bytes, function (byte) {
      return ("0" + byte.toString(16)).slice(-2);
    }).join("");
  }

  function anonymousId() {
    var known = load("anonymous");
    if (!known) store("anonymous", known = id());
    return known;
  }

  function stored() {
    try { return JSON.parse(load("queue") || "[]"); } catch (_) { return []; }
  }

  /* Write down what waits here, beside what other pages of the site have waiting. */
  function keep(gone) {
    var ours = {};
    queue.concat(gone || []).forEach(function (event) { ours[event.messageId] = true; });
    var others = stored().filter(function (event) { return !ours[event.messageId]; });
    var waiting = others.concat(queue).slice(-EVENTS_MAX);
    store("queue", waiting.length ? JSON.stringify(waiting) : null);
  }

  function add(type, fields) {
    if (silent) return;
    var event = {
      type: type, messageId: id(), timestamp: new Date().toISOString(), anonymousId: anonymousId(),
    };
    var user = load("user");
    if (user) event.userId = user;
    for (var name in fields) event[name] = fields[name];
    queue.push(event);
    if (queue.length > EVENTS_MAX) queue.shift();
    keep();
    later(LINGER_MS);
  }

  function later(ms) {
    if (!timer) timer = setTimeout(function () { timer = 0; flush(); }, ms);
  }

  function body(events) {
    var context = { library: { name: "raydo.js" }, locale: navigator.language };
    try { context.timezone = Intl.DateTimeFormat().resolvedOptions().timeZone; } catch (_) { /* none */ }
    return JSON.stringify({ batch: events, context: context, sentAt: new Date().toISOString() });
  }

  function flush() {
    if (silent || sending || !queue.length) return;
    var events = queue.slice(0, BATCH);
    var text = body(events);
    sending = true;
    // Plain text needs no question to the server before it.
    fetch(endpoint, {
      method: "POST", body: text, headers: { "Content-Type": "text/plain" },
      credentials: "omit", keepalive: text.length < KEEPALIVE_MAX,
    }).then(function (reply) {
      var again = reply.status === 429 || reply.status === 408 || reply.status >= 500;
      settle(events, again, Number(reply.headers.get("Retry-After")) * 1000);
    }, function () { settle(events, true, 0); });
  }

  function settle(events, again, waitMs) {
    sending = false;
    if (again) {
      later(Math.max(waitMs || 0, RETRY_MS[Math.min(attempts, RETRY_MS.length - 1)]));
      attempts += 1;
      return;
    }
    attempts = 0;
    queue = queue.filter(function (event) { return events.indexOf(event) < 0; });
    keep(events);
    if (queue.length) later(0);
  }

  /* The page goes away: what waits is handed to the browser. It stays stored, as nobody will tell
   * whether it arrived; the next page sends it again, and it counts once. */
  function leave() {
    if (silent || !queue.length || !navigator.sendBeacon) return;
    for (var at = 0; at < queue.length; at += BATCH) {
      navigator.sendBeacon(endpoint, new Blob([body(queue.slice(at, at + BATCH))], { type: "text/plain" }));
    }
  }

  function page(name, properties) {
    if (typeof name === "object") { properties = name; name = undefined; }
    var seen = {
      page: location.pathname, url: location.href, title: document.title, referrer: previous,
    };
    new URLSearchParams(location.search).forEach(function (value, key) {
      if (key.indexOf("utm_") === 0) seen[key] = value;
    });
    for (var key in properties) seen[key] = properties[key];
    previous = location.href;
    add("page", name ? { name: name, properties: seen } : { properties: seen });
  }

  /* One page view for each address, however the page got there. */
  function moved() {
    var address = location.pathname + location.search;
    if (address === shown) return;
    shown = address;
    page();
  }

  function watch() {
    ["pushState", "replaceState"].forEach(function (name) {
      var change = history[name];
      history[name] = function () {
        var result = change.apply(this, arguments);
        setTimeout(moved, 0); // a framework sets the title after the address
        return result;
      };
    });
    addEventListener("popstate", moved);
    addEventListener("pageshow", function (event) { if (event.persisted) { shown = ""; moved(); } });
    if (document.prerendering) document.addEventListener("prerenderingchange", moved, { once: true });
    else moved();
  }

  window.raydo = {
    track: function (name, properties) { add("track", { event: String(name), properties: properties || {} }); },
    page: page,
    identify: function (userId, traits) {
      if (silent) return;
      store("user", String(userId));
      add("identify", { userId: String(userId), traits: traits || {} });
    },
    reset: function () { store("user", null); store("anonymous", null); },
    flush: flush,
  };

  if (silent) return;
  queue = stored();
  if (queue.length) later(LINGER_MS);
  addEventListener("pagehide", leave);
  document.addEventListener("visibilitychange", function () {
    if (document.visibilityState === "hidden") leave();
  });
  addEventListener("online", flush);
  if (option("pageviews") !== "manual") watch();
})();
