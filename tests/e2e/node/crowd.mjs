// Many clients of the library in one process. Says {"open": n} when that changes; a line on stdin asks
// for the times (ms since 1970) of all byes, first attempts to come back, all attempts, and successes.
//
//   node crowd.mjs MODULE URL ROOM COUNT

import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const Socket = createRequire(import.meta.url)("ws");
const [module, url, room, count] = process.argv.slice(2);
const { connect } = await import(module);

const byes = [], firsts = [], attempts = [], returns = [], late = [], errors = {};
let created = 0, open = 0, said = -1;

class Counted extends Socket {
  constructor(address, protocol) {
    super(address, protocol, { perMessageDeflate: false });
    if (created === Number(count)) attempts.push(Date.now());     // all are there: this is a return
  }
}

function start() {
  const client = connect(url, { WebSocket: Counted, transport: "websocket" });
  let due = 0, away = false;
  client.subscribe(room, { error: ({ code }) => { errors[code] = (errors[code] ?? 0) + 1; } });
  client.on("open", () => {
    open++;
    if (away) returns.push(Date.now());
    away = true;
  });
  client.on("bye", ({ reconnectIn }) => {
    byes.push(Date.now());
    due = Date.now() + reconnectIn;
  });
  client.on("close", () => { open = Math.max(0, open - 1); });
  client.on("state", ({ state }) => {
    if (state !== "connecting" || !due) return;
    firsts.push(Date.now());          // the first attempt after a bye
    late.push(Date.now() - due);
    due = 0;
  });
}

// Not all at once: a crowd that arrives is not what is tried here.
const arriving = setInterval(() => {
  for (let n = 0; n < 10 && created < count; n++, created++) start();
  if (created === Number(count)) clearInterval(arriving);
}, 25);
setInterval(() => {
  if (open !== said) process.stdout.write(JSON.stringify({ open: (said = open) }) + "\n");
}, 100);
createInterface({ input: process.stdin }).on("line", () =>
  process.stdout.write(JSON.stringify({ byes, firsts, attempts, returns, late, errors }) + "\n"));
