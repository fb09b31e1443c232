// The official Cap'n Web client against a running server, one group of claims a run:
//   node capnweb.mjs GROUP HOST:PORT [PACKAGE]
// Each claim prints one line of JSON. The server offers the root at /rpc, its tests' own object at
// /targets, and what its open sessions hold at GET /.
import assert from "node:assert/strict";
import { WebSocket } from "ws";

globalThis.WebSocket ??= WebSocket;
const [group, host, client = "capnweb", key] = process.argv.slice(2);
const { RpcSession, RpcStub, RpcTarget, newHttpBatchRpcSession, newWebSocketRpcSession } = await import(client);

const batch = (path = "/rpc") => newHttpBatchRpcSession(`http://${host}${path}`);
const opened = [];
const socket = (path = "/rpc") => {
  opened.push(newWebSocketRpcSession(`ws://${host}${path}`));
  return opened.at(-1);
};
const server = async () => (await fetch(`http://${host}/`)).json();
const failure = async (promise) => {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  assert.fail("it did not fail");
};

// A session of its own transport, so that what it holds can be counted.
const counted = async (path = "/rpc", main = undefined) => {
  const ws = new WebSocket(`ws://${host}${path}`);
  const received = [];
  let wake = () => {};
  ws.on("message", (data) => {
    received.push(data.toString());
    wake();
  });
  await new Promise((resolve, reject) => ws.once("open", resolve).once("error", reject));
  const transport = {
    send: async (message) => ws.send(message),
    receive: async () => {
      while (!received.length) await new Promise((resolve) => (wake = resolve));
      return received.shift();
    },
    abort: () => ws.close(),
  };
  const session = new RpcSession(transport, main);
  return { session, api: session.getRemoteMain(), close: () => ws.close() };
};

const settled = async (session) => {
  const nothing = { imports: 1, exports: 1 };
  for (let tries = 0; tries < 100; tries++) {
    const { sessions } = await server();
    if (JSON.stringify([session.getStats(), ...sessions]) === JSON.stringify([nothing, nothing])) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  assert.deepEqual({ client: session.getStats(), server: (await server()).sessions }, { client: nothing, server: [nothing] });
};

class Square extends RpcTarget {
  square(i) {
    return i * i;
  }
}

const groups = {
  batch: {
    async "a chain of five steps is one request"() {
      const before = (await server()).requests;
      const days = batch().Analytics("chain").getDAU(7);
      assert.equal(await days[0].dau, 0);
      assert.equal((await server()).requests, before + 1);
    },
    async "several answers come from one request"() {
      const acme = batch().Analytics("several");
      const days = acme.getDAU(3);
      const [all, first, dates, active, cohorts] = await Promise.all([
        days, days[0].date, days.map((day) => day.date), acme.getActiveUsers(), acme.getRetention("day"),
      ]);
      assert.equal(cohorts.at(-1).cohort, all[0].date);
      assert.deepEqual(dates, all.map((day) => day.date));
      assert.deepEqual([first, active], [all[0].date, 0]);
    },
    async "a thousand tracks that nobody awaits are rows"() {
      const acme = batch().Analytics("thousand");
      for (let n = 0; n < 1000; n++) acme.track("PageView", { userId: `u${n}` });
      assert.equal(await acme.getActiveUsers(), 1000);
      const { rows } = await batch().Analytics("thousand").query("SELECT count(*) AS n FROM events");
      assert.deepEqual(rows, [{ n: 1000 }]);
    },
    async "nothing awaited at all is sent all the same"() {
      batch().Analytics("silent").track("A", { userId: "x" });
      let active = 0;
      while (!active) active = await batch().Analytics("silent").getActiveUsers();
      assert.equal(active, 1);
    },
    async "an event's id comes back, and its row is there"() {
      const acme = batch().Analytics("ids");
      const id = acme.track("Signup", { userId: "x", plan: "pro" });
      const found = acme.query("SELECT event, properties FROM events WHERE id = ?", [id]);
      const [row] = (await found).rows;
      assert.equal(row.event, "Signup");
      assert.deepEqual(JSON.parse(row.properties), { userId: "x", plan: "pro" });
    },
    async "a tenant's own session"() {
      const acme = batch("/rpc?tenant=ids");
      assert.equal(await acme.counters.get("event:Signup"), 1);
    },
    async "what is not there is undefined, as an argument too"() {
      const acme = batch().Analytics("ids");
      const days = acme.getDAU(1);
      const id = acme.track("Odd", { missing: days[5], text: days[0].nope });
      const [missing, nope, failed, found] = await Promise.allSettled([
        days[5], days[0].nope, days[5].dau, acme.query("SELECT properties FROM events WHERE id = ?", [id]),
      ]);
      assert.deepEqual([missing.value, nope.value], [undefined, undefined]);
      assert.ok(failed.reason instanceof TypeError);
      assert.deepEqual(JSON.parse(found.value.rows[0].properties), { missing: null, text: null });
    },
    async "names of both languages"() {
      const acme = batch().Analytics("names");
      assert.deepEqual(await Promise.all([acme.getDAU(1), acme.get_dau(1)].map((p) => p.map((d) => d.dau))), [[0], [0]]);
    },
    async "the stats are those of the HTTP interface"() {
      const stats = await batch().Analytics("ids").stats();
      assert.deepEqual(stats.events, { Odd: 1, Signup: 1 });
      assert.equal(stats.active["1m"], 1);
    },
    async "a map that makes calls"() {
      const acme = batch().Analytics("ids");
      const got = await acme.getDAU(2).map((day) => ({ day: day.date, n: acme.counters.get("event:Signup") }));
      assert.deepEqual(got.map((row) => row.n), [1, 1]);
    },
    async "a map that captures the root and asks another tenant"() {
      const api = batch();
      const got = await api.Analytics("ids").getDAU(2).map((day) => api.Analytics("several").counters.get(day.date));
      assert.deepEqual(got, [0, 0]);
    },
    async "a map in a map"() {
      const acme = batch().Analytics("ids");
      const got = await acme.getDAU(2).map((day) => acme.getDAU(1).map((inner) => [day.date, inner.date, acme.getActiveUsers()]));
      assert.equal(got.length, 2);
      assert.equal(got[1][0][0], got[1][0][1] === got[0][0][1] ? got[1][0][0] : "");
      assert.equal(got[0][0][2], 1);
    },
    async "a promise of one tenant is an argument of another's call"() {
      const api = batch();
      const id = api.Analytics("other").track("Copy", { from: api.Analytics("ids").getActiveUsers() });
      const { rows } = await api.Analytics("other").query("SELECT properties FROM events WHERE id = ?", [id]);
      assert.deepEqual(JSON.parse(rows[0].properties), { from: 1 });
    },
  },

  watching: {
    async "a subscription that comes again with its cursor misses nothing and sees nothing twice"() {
      const seen = [];
      let cursor = 0, counters = {}, enough = () => {};
      const take = (change) => {
        cursor = change.cursor;
        Object.assign(counters, change.counters);
        for (const event of change.events) seen.push(event.properties.n);
        enough();
      };
      const until = async (count) => {
        while (seen.length < count) await new Promise((resolve) => (enough = resolve));
      };
      const writer = batch().Analytics("watched");
      for (let n = 0; n < 5; n++) writer.track("Seen", { n });
      await writer.getActiveUsers();

      for (let round = 1; round <= 3; round++) {
        const api = socket();
        await api.Analytics("watched").subscribe(cursor, take);
        await until(10 * round - 5);
        const acme = api.Analytics("watched");
        for (let n = 10 * round - 5; n < 10 * round + 5; n++) acme.track("Seen", { n });
        await until(10 * round + 5);
        api[Symbol.dispose]();
        while ((await server()).sessions.length) await new Promise((resolve) => setTimeout(resolve, 5));
      }
      assert.deepEqual(seen, [...Array(35).keys()]);
      assert.equal(counters["event:Seen"], 35);
    },
    async "a subscription ends when it is let go"() {
      const { session, api, close } = await counted();
      const acme = api.Analytics("let go");
      let told = 0;
      const watch = await acme.subscribe(null, () => { told++; });
      assert.equal(told, 1);
      watch[Symbol.dispose]();
      acme.track("A", {})[Symbol.dispose]();
      assert.equal(await acme.counters.get("event:A"), 1);
      acme[Symbol.dispose]();
      await settled(session);
      assert.equal(told, 1);
      close();
    },
    async "a batch has nobody to call, and says so at once"() {
      const error = await failure(batch().Analytics("watched").subscribe(0, () => {}));
      assert.match(error.message, /WebSocket/);
    },
    async "a cursor that is none"() {
      const error = await failure(socket().Analytics("watched").subscribe(10 ** 9, () => {}));
      assert.equal(error.code, "invalid_argument");
    },
  },

  keys: {
    async "a chain that begins with authenticate is one request"() {
      assert.equal((await batch().authenticate(key).getDAU(7)).length, 7);
    },
    async "a session authenticates once and goes on"() {
      const acme = await socket().authenticate(key);
      assert.equal(await acme.getActiveUsers(), 0);
      assert.equal(await acme.counters.get("event:A"), 0);
    },
    async "a read key does not write"() {
      const error = await failure(socket().authenticate(key).track("A", {}));
      assert.equal(error.code, "forbidden");
    },
    async "without a key nothing opens"() {
      for (const api of [batch(), socket()]) {
        assert.equal((await failure(api.Analytics("acme").getDAU(1))).code, "unauthorized");
      }
      assert.equal((await failure(batch().authenticate("wrong").getDAU(1))).code, "unauthorized");
    },
    async "a subscription needs a key that reads"() {
      const changes = [];
      await socket().authenticate(key).subscribe(null, (change) => { changes.push(change); });
      assert.equal(changes.length, 1);
    },
  },

  one: {
    async "a call on a tenant"() {
      assert.equal((await batch().Analytics("counted").getDAU(7)).length, 7);
    },
  },

  five: {
    async "a chain of five steps, with results as arguments"() {
      const acme = batch().Analytics("counted");
      const day = acme.getDAU(7)[0].date;
      const id = acme.track("Chained", { day });
      const rows = acme.query("SELECT json_extract(properties, '$.day') AS day FROM events WHERE id = ?", [id]).rows;
      const [found, sent] = await Promise.all([rows[0].day, day]);
      assert.equal(found, sent);
    },
  },

  errors: {
    async "an unknown method is a TypeError that says what there is"() {
      const error = await failure(batch().Analytics("e").getDau(7));
      assert.ok(error instanceof TypeError);
      assert.match(error.message, /no method 'getDau'.*getDAU/);
      assert.equal(error.code, "unknown_method");
    },
    async "what is not declared cannot be reached"() {
      for (const name of ["_state", "__class__", "__init__", "sql", "on_start", "toJSON"]) {
        const error = await failure(batch().Analytics("e")[name]());
        assert.ok(error instanceof TypeError, name);
      }
    },
    async "a wrong argument is a TypeError with a code"() {
      const error = await failure(batch().Analytics("e").getDAU(-1));
      assert.ok(error instanceof TypeError);
      assert.equal(error.code, "invalid_argument");
      assert.equal(error.retryable, false);
    },
    async "forbidden SQL is refused"() {
      const error = await failure(batch().Analytics("e").query("DROP TABLE events"));
      assert.match(error.code, /^query_/);
    },
    async "one error leaves its neighbours alone"() {
      const acme = batch().Analytics("e");
      const [bad, good] = await Promise.allSettled([acme.nope(), acme.getActiveUsers()]);
      assert.deepEqual([bad.status, good.value], ["rejected", 0]);
    },
    async "what follows from an error fails with it"() {
      const acme = batch().Analytics("e");
      const error = await failure(acme.getDAU(0)[0].dau.map((x) => x));
      assert.equal(error.code, "invalid_argument");
    },
    async "a tenant id that is none"() {
      assert.equal((await failure(batch().Analytics("").getDAU(1))).code, "invalid_tenant");
    },
    async "no keys, nothing to authenticate"() {
      assert.equal((await failure(batch().authenticate("key"))).code, "forbidden");
    },
    async "a thrown RangeError is one here"() {
      const error = await failure(batch("/targets").throwError());
      assert.ok(error instanceof RangeError);
      assert.equal(error.message, "test error");
    },
    async "a server's own failure shows nothing of its inside"() {
      const error = await failure(batch("/targets").fail());
      assert.equal(error.code, "internal");
      assert.doesNotMatch(error.message, /inner detail/);
    },
    async "a callback in a batch fails at once"() {
      const error = await failure(batch("/targets").callFunction((x) => x, 1));
      assert.match(error.message, /WebSocket/);
    },
    async "a tenant that is named badly ends a socket with the reason"() {
      const error = await failure(socket("/rpc?tenant=").getActiveUsers());
      assert.match(error.message, /tenant/i);
    },
  },

  socket: {
    async "a stub is kept and used again and again"() {
      const api = socket();
      const acme = await api.Analytics("ws");
      for (let n = 1; n <= 3; n++) {
        acme.track("A", { userId: `u${n}` });
        assert.equal(await acme.getActiveUsers(), n);
      }
    },
    async "calls are applied in the order in which they were made"() {
      const api = socket();
      const acme = api.Analytics("order");
      for (let n = 0; n < 300; n++) acme.track("A", { n });
      const { rows } = await acme.query("SELECT properties FROM events ORDER BY seq");
      assert.deepEqual(rows.map((row) => JSON.parse(row.properties).n), [...Array(300).keys()]);
    },
    async "a promise answered before can be used later"() {
      const api = socket();
      const days = api.Analytics("ws").getDAU(2);
      await days;
      assert.equal((await days.map((day) => day.date)).length, 2);
    },
    async "exposed parts are stubs"() {
      const api = socket();
      const counters = await api.Analytics("ws").counters;
      assert.equal(await counters.get("event:A"), 3);
    },
    async "fire and forget over a socket"() {
      const api = socket();
      const acme = api.Analytics("forget");
      for (let n = 0; n < 100; n++) acme.track("A", { n })[Symbol.dispose]();
      assert.equal(await acme.counters.get("event:A"), 100);
    },
    async "a map with calls on two tenants"() {
      const api = socket();
      const got = await api.Analytics("ws").getDAU(2).map((day) => ({
        a: api.Analytics("ws").counters.get("event:A"),
        b: api.Analytics("order").counters.get("event:A"),
      }));
      assert.deepEqual(got, [{ a: 3, b: 300 }, { a: 3, b: 300 }]);
    },
    async "many sockets at once"() {
      const apis = [...Array(20)].map(() => socket());
      const counts = await Promise.all(apis.map((api) => api.Analytics("ws").getActiveUsers()));
      assert.deepEqual(new Set(counts), new Set([3]));
      for (const api of apis) api[Symbol.dispose]();
    },
  },

  callbacks: {
    async "a broken session is told"() {
      const api = socket("/targets");
      const told = new Promise((resolve) => api.onRpcBroken(resolve));
      await api.square(1);
      const raw = new WebSocket(`ws://${host}/rpc`);
      const closed = new Promise((resolve) => raw.on("close", (code, reason) => resolve([code, reason.toString()])));
      raw.on("open", () => raw.send('["pull",42]'));
      assert.deepEqual(await closed, [3000, "no such export ID: 42"]);
      api[Symbol.dispose]();
      assert.match((await told).message, /shut down/);
    },
    async "the server calls a function of the client"() {
      const api = socket("/targets");
      assert.deepEqual(await api.callFunction((i) => i * 2, 7), { result: 14 });
    },
    async "the server waits for it, twice"() {
      const api = socket("/targets");
      assert.equal(await api.twiceLater(async (i) => i * i, 3), 81);
    },
    async "the server calls an object of the client"() {
      const api = socket("/targets");
      assert.deepEqual(await api.callSquare(new Square(), 5), { result: 25 });
    },
    async "what a callback throws comes back"() {
      const api = socket("/targets");
      const error = await failure(api.callFunction(() => { throw new RangeError("too far"); }, 1));
      assert.ok(error instanceof RangeError);
      assert.equal(error.message, "too far");
    },
    async "a callback that is kept is called later"() {
      const api = socket("/targets");
      const heard = [];
      await api.keep((value) => { heard.push(value); });
      await api.tellKept("one");
      await api.tellKept({ two: [2] });
      await api.forget();
      assert.deepEqual(heard, ["one", { two: [2] }]);
    },
    async "a function in a map is called for each element"() {
      const api = socket("/targets");
      const double = new RpcStub((x) => x * 2);
      assert.deepEqual(await api.generateFibonacci(6).map((x) => double(x)), [0, 2, 2, 4, 6, 10]);
    },
    async "a promise of the client is an argument"() {
      const api = socket("/targets");
      assert.equal(await api.square(api.square(3)), 81);
      const slow = new RpcStub({ get: async () => 4 });
      assert.equal(await api.square(slow.get()), 16);
    },
    async "a durable object takes no functions"() {
      const api = socket();
      const error = await failure(api.Analytics("ws").track("A", { f: () => 1 }));
      assert.ok(error instanceof TypeError);
    },
  },

  disposal: {
    async "an idle session holds nothing but the two main objects"() {
      const { session, api, close } = await counted();
      const acme = api.Analytics("d");
      assert.equal(await acme.getActiveUsers(), 0);
      acme[Symbol.dispose]();
      await settled(session);
      close();
    },
    async "stubs that were disposed are gone on both sides"() {
      const { session, api, close } = await counted("/targets");
      const counter = await api.makeCounter(3);
      assert.equal(await counter.increment(), 4);
      assert.equal(await api.incrementCounter(counter, 5), 9);
      const again = counter.dup();
      counter[Symbol.dispose]();
      assert.equal(await again.increment(), 10);
      again[Symbol.dispose]();
      const counters = await api.makeCounters(3);
      assert.equal(await counters[2].counter.increment(), 3);
      counters[Symbol.dispose]();
      await settled(session);
      close();
    },
    async "callbacks are given back"() {
      const { session, api, close } = await counted("/targets");
      assert.deepEqual(await api.callFunction((i) => i + 1, 1), { result: 2 });
      await api.keep(() => {});
      await api.tellKept(1);
      await api.forget();
      await failure(api.callFunction(() => { throw new Error("no"); }, 1));
      await settled(session);
      close();
    },
    async "promises that nobody awaited are gone once disposed"() {
      const { session, api, close } = await counted();
      const acme = api.Analytics("d");
      const days = acme.getDAU(2);
      const first = days[0].dau;
      const mapped = days.map((day) => day.date);  // what a map captures the client never lets go
      acme.track("A", {})[Symbol.dispose]();
      assert.equal(await first, 0);
      for (const each of [mapped, days, acme]) each[Symbol.dispose]();
      await settled(session);
      close();
    },
    async "so are errors, streams and echoes"() {
      const { session, api, close } = await counted("/targets");
      await failure(api.throwError());
      await failure(api.nope());
      const text = new ReadableStream({ start(c) { c.enqueue("ab"); c.enqueue("c"); c.close(); } });
      assert.equal(await api.echo(text), "abc");
      const blob = await api.echo(new Blob(["hello"], { type: "text/x" }));
      assert.deepEqual([await blob.text(), blob.type], ["hello", "text/x"]);
      const own = new Square();
      const back = await api.echo({ own });
      assert.equal(await back.own.square(3), 9);
      back[Symbol.dispose]();
      await settled(session);
      close();
    },
    async "the server's own objects are told of the end"() {
      const { api, close } = await counted("/targets");
      await api.makeCounter(1);
      close();
      while ((await server()).sessions.length) await new Promise((resolve) => setTimeout(resolve, 5));
    },
  },

  values: {
    async "what JavaScript has comes back as it was sent"() {
      const api = socket("/targets");
      const bytes = new Uint8Array([1, 2, 254]);
      const values = [
        null, true, 0, -1.5, 2 ** 53 - 1, "text \u{1F600}", "", [], [[]], {}, { a: [{ b: null }] },
        undefined, NaN, Infinity, -Infinity, 2n ** 70n, -(2n ** 60n), new Date(1.7e12), new Date(NaN), bytes,
        new Float32Array([1.5, -2]), new Uint8Array(bytes).buffer, new URL("https://example.com/a?b"),
      ];
      for (const value of values) {
        const back = await api.echo({ value });
        assert.deepEqual(normal(back.value), normal(value));
        back[Symbol.dispose]?.();
      }
      const headers = await api.echo(new Headers({ a: "1", b: "2" }));
      assert.deepEqual([...headers], [["a", "1"], ["b", "2"]]);
      const error = await api.echo(Object.assign(new TypeError("no"), { code: 7, cause: new Error("why") }));
      assert.deepEqual([error.name, error.message, error.code, error.cause.message], ["TypeError", "no", 7, "why"]);
      const response = await api.echo(new Response("body", { status: 404, headers: { a: "b" } }));
      assert.deepEqual([response.status, response.headers.get("a"), await response.text()], [404, "b", "body"]);
      const request = await api.echo(new Request("http://x/y", { method: "PUT", body: "in", duplex: "half" }));
      assert.deepEqual([request.method, await request.text()], ["PUT", "in"]);
    },
    async "nothing and undefined"() {
      const api = socket("/targets");
      assert.deepEqual([await api.returnNull(), await api.returnUndefined()], [null, undefined]);
      assert.equal(await api.nothingThere, undefined);
    },
    async "dates and bytes reach a tenant"() {
      const acme = batch().Analytics("values");
      const when = Date.now() - 3_600_000;
      const id = acme.track({ event: "A", timestamp: when, properties: { n: 2n ** 40n, gone: undefined } });
      const { rows } = await acme.query("SELECT timestamp, properties FROM events WHERE id = ?", [id]);
      assert.equal(rows[0].timestamp, when);
      assert.deepEqual(JSON.parse(rows[0].properties), { n: 2 ** 40 });
    },
    async "a long answer"() {
      const api = socket("/targets");
      const text = "é".repeat(1_000_000);
      assert.equal((await api.echo(text)).length, 1_000_000);
    },
  },
};

const normal = (value) => {
  if (value instanceof Date) return ["date", String(value.getTime())];
  if (value instanceof ArrayBuffer) return ["buffer", ...new Uint8Array(value)];
  if (ArrayBuffer.isView(value)) return ["bytes", value instanceof Float32Array, ...value];
  return value instanceof URL ? ["url", value.href] : value;
};

for (const [name, claim] of Object.entries(groups[group])) {
  let error = null;
  const late = new Promise((_, reject) => setTimeout(() => reject(new Error("no end within 10 s")), 10_000).unref());
  try {
    await Promise.race([claim(), late]);
  } catch (caught) {
    error = String(caught?.stack ?? caught);
  }
  while (opened.length) opened.pop()[Symbol.dispose]();
  console.log(JSON.stringify({ name, error }));
}
process.exit(0);
