// The official server of npm capnweb on node's http and ws, with an Analytics that keeps its events in
// an array: what the protocol costs there, without a disk. Prints its port.
import { createServer } from "node:http";
import { WebSocket, WebSocketServer } from "ws";
import { RpcTarget, newWebSocketRpcSession, nodeHttpBatchRpcResponse } from "capnweb";

globalThis.WebSocket ??= WebSocket;

class Analytics extends RpcTarget {
  #events = [];
  #users = new Set();
  track(event, properties) {
    this.#events.push([event, properties]);
    this.#users.add(properties.userId);
    return String(this.#events.length);
  }
  getActiveUsers() {
    return this.#users.size;
  }
  getDAU(days) {
    return [...Array(days).keys()].map((day) => ({
      date: new Date(Date.now() - day * 864e5).toISOString().slice(0, 10),
      dau: day ? 0 : this.#users.size, events: day ? 0 : this.#events.length, partial: !day,
    }));
  }
}

const tenants = new Map();
class Root extends RpcTarget {
  Analytics(tenant) {
    if (!tenants.has(tenant)) tenants.set(tenant, new Analytics());
    return tenants.get(tenant);
  }
}

const server = createServer((request, response) => nodeHttpBatchRpcResponse(request, response, new Root()));
new WebSocketServer({ server }).on("connection", (socket) => newWebSocketRpcSession(socket, new Root()));
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
