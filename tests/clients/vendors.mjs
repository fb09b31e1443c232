// @segment/analytics-node, used as its documentation says: node vendors.mjs ADDRESS KEY
// For each line on its standard input, a round's name, it sends that round's events and prints
// what went wrong, or `sent`.
import { createInterface } from "node:readline";
import { Analytics } from "@segment/analytics-node";

const [address, key] = process.argv.slice(2);
const errors = [];
const analytics = new Analytics({ writeKey: key, host: address });
analytics.on("error", (error) => errors.push(String(error.reason ?? error)));

for await (const line of createInterface({ input: process.stdin })) {
  const round = line.trim();
  const userId = "alice";
  for (let number = 0; number < 20; number += 1) {
    analytics.track({ userId, event: "Signup", properties: { n: `${round}-${number}` } });
  }
  analytics.identify({ userId, anonymousId: "anon", traits: { n: `${round}-identify` } });
  analytics.page({ userId, name: "Docs", properties: { n: `${round}-page` } });
  analytics.screen({ userId, name: "Home", properties: { n: `${round}-screen` } });
  analytics.group({ userId, groupId: "g1", traits: { n: `${round}-group` } });
  analytics.alias({ userId, previousId: `${round}-old` });
  await analytics.flush();
  console.log(errors.splice(0).join("; ") || "sent");
}
