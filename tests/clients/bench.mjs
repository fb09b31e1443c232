// Calls a second of the official client, against any server with Analytics(tenant):
//   node bench.mjs HOST:PORT SECONDS
// Each kind of work prints one line of JSON; `python -m benchmarks.capnweb` makes the table.
import { WebSocket } from "ws";
import { newHttpBatchRpcSession, newWebSocketRpcSession } from "capnweb";

globalThis.WebSocket ??= WebSocket;
const [host, seconds] = process.argv.slice(2);
const batch = () => newHttpBatchRpcSession(`http://${host}/rpc`).Analytics("acme");
const api = newWebSocketRpcSession(`ws://${host}/rpc`);
const socket = () => api.Analytics("acme");

const chains = async (acme, count) => {
  await Promise.all([...Array(count)].map(async () => acme.getDAU(7)));
  return count;
};
const tracks = async (acme) => {
  for (let n = 0; n < 1000; n++) acme.track("PageView", { userId: `u${n % 500}` })[Symbol.dispose]();
  await acme.getActiveUsers();
  return 1000;
};

const works = {
  "Analytics(t).getDAU(7), one by one, HTTP": () => chains(batch(), 1),
  "100 of them in one batch, HTTP": () => chains(batch(), 100),
  "1,000 track() in one batch, HTTP": () => tracks(batch()),
  "Analytics(t).getDAU(7), one by one, WebSocket": () => chains(socket(), 1),
  "100 of them at once, WebSocket": () => chains(socket(), 100),
  "1,000 track() and one answer, WebSocket": () => tracks(socket()),
};

for (const [work, run] of Object.entries(works)) {
  const measure = async (limit) => {
    const start = performance.now();
    let calls = 0;
    while (performance.now() - start < limit) calls += await run();
    return (calls / (performance.now() - start)) * 1000;
  };
  await measure(Math.min(500, seconds * 1000));
  console.log(JSON.stringify({ work, rate: await measure(seconds * 1000) }));
}
process.exit(0);
