// What the official client and the server say to each other in some scenes, message by message:
//   node transcripts.mjs HOST:PORT
// Each scene prints one line of JSON: its name, what was said by whom, and what the client got.
import { RpcSession, RpcTarget, newHttpBatchRpcSession } from "capnweb";
import { WebSocket } from "ws";

globalThis.WebSocket ??= WebSocket;
const [host] = process.argv.slice(2);

const overBatch = async (run) => {
  const said = [];
  const fetched = globalThis.fetch;
  globalThis.fetch = async (url, init) => {
    const lines = (text) => (text === "" ? [] : text.split("\n").map((line) => JSON.parse(line)));
    said.push(...lines(init.body).map((message) => ["client", message]));
    const body = await (await fetched(url, init)).text();
    said.push(...lines(body).map((message) => ["server", message]));
    return new Response(body);
  };
  try {
    return { said, result: await run(newHttpBatchRpcSession(`http://${host}/targets`)) };
  } finally {
    globalThis.fetch = fetched;
  }
};

const overSocket = async (run) => {
  const said = [];
  const received = [];
  let wake = () => {};
  const ws = new WebSocket(`ws://${host}/targets`);
  ws.on("message", (data) => {
    said.push(["server", JSON.parse(data.toString())]);
    received.push(data.toString());
    wake();
  });
  await new Promise((resolve, reject) => ws.once("open", resolve).once("error", reject));
  const session = new RpcSession({
    send: async (message) => {
      said.push(["client", JSON.parse(message)]);
      ws.send(message);
    },
    receive: async () => {
      while (!received.length) await new Promise((resolve) => (wake = resolve));
      return received.shift();
    },
  });
  const result = await run(session.getRemoteMain());
  await new Promise((resolve) => setTimeout(resolve, 50)); // what is let go is still said
  ws.close();
  return { said, result, held: session.getStats() };
};

const failure = (promise) => promise.then(() => "no error", (error) => [error.constructor.name, error.message, error.code]);

class Square extends RpcTarget {
  square(i) {
    return i * i;
  }
}

const scenes = {
  "batch: a chain": [overBatch, async (api) => await api.Shop("a").days(3)[1].dau],
  "batch: several answers": [overBatch, async (api) => {
    const shop = api.Shop("b");
    const days = shop.days(2);
    return Promise.all([days, days[0].date, days.map((day) => day.dau), shop.price(days[1].date)]);
  }],
  "batch: a map with calls": [overBatch, async (api) => {
    const shop = api.Shop("c");
    return shop.days(2).map((day) => ({ day: day.date, price: shop.price(day.date), root: api.Shop("c").tally.get("x") }));
  }],
  "batch: nobody awaits": [overBatch, async (api) => {
    const shop = api.Shop("d");
    for (let n = 0; n < 3; n++) shop.order(`item ${n}`);
    return shop.listOrders();
  }],
  "batch: errors": [overBatch, async (api) => {
    const shop = api.Shop("e");
    return Promise.all([failure(shop.nope()), failure(shop.broken()[0]), failure(api.throwError()), failure(api.square(() => 1)), shop.price("pen")]);
  }],
  "socket: a stub": [overSocket, async (api) => {
    const shop = await api.Shop("f");
    const got = [await shop.price("pen"), await shop.tally.get("x")];
    shop[Symbol.dispose]();
    return got;
  }],
  "socket: a callback": [overSocket, async (api) => [
    await api.callFunction((i) => i * 2, 4),
    await api.callSquare(new Square(), 5),
    await failure(api.callFunction(() => { throw new TypeError("no"); }, 1)),
  ]],
  "socket: a callback is kept": [overSocket, async (api) => {
    const heard = [];
    await api.keep((value) => { heard.push(value); });
    await api.tellKept({ n: [1] });
    await api.forget();
    return heard;
  }],
  "socket: objects": [overSocket, async (api) => {
    const counter = await api.makeCounter(3);
    const got = [await counter.increment(2), await api.incrementCounter(counter)];
    counter[Symbol.dispose]();
    return got;
  }],
  "socket: promises as arguments": [overSocket, async (api) => {
    const three = api.square(api.square(2));
    return await api.echo({ a: three, b: [api.square(3)] });
  }],
  "socket: a map here and there": [overSocket, async (api) => {
    const days = api.Shop("g").days(2);
    const got = [await days.map((day) => api.Shop("h").price(day.date)), await api.generateFibonacci(4).map((n) => api.square(n))];
    return got;
  }],
  "socket: values": [overSocket, async (api) => {
    const values = [undefined, NaN, -Infinity, 2n ** 60n, new Date(5), new Uint8Array([1, 2]), new RangeError("far"), [[]], { a: null }];
    const back = await api.echo(values);
    return back.map((value) => Object.prototype.toString.call(value));
  }],
  "socket: a stream": [overSocket, async (api) => {
    const text = new ReadableStream({ start(c) { c.enqueue("ab"); c.enqueue("c"); c.close(); } });
    return [await api.echo(text), await (await api.echo(new Blob(["hi"]))).text()];
  }],
};

for (const [name, [over, run]] of Object.entries(scenes)) {
  const scene = await over(run);
  console.log(JSON.stringify({ name, ...scene }));
}
process.exit(0);
