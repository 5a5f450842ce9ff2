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
const clients = [];
let created = 0, said = -1;

class Counted extends Socket {
  constructor(address, protocol) {
    super(address, protocol, { perMessageDeflate: false });
    if (created === Number(count)) attempts.push(Date.now());     // all are there: this is a return
  }
}

function start() {
  const client = connect(url, { WebSocket: Counted });
  let due = 0, away = false;      // told to leave, and not yet back
  clients.push(client);
  client.subscribe(room, { error: ({ code }) => { errors[code] = (errors[code] ?? 0) + 1; } });
  client.on("open", () => {
    if (away) returns.push(Date.now());
    away = false;
  });
  client.on("bye", ({ reconnectIn }) => {
    byes.push(Date.now());
    away = true;
    due = performance.now() + reconnectIn;     // the wall clock may be adjusted meanwhile
  });
  client.on("state", ({ state }) => {
    if (state !== "connecting" || !due) return;
    firsts.push(Date.now());          // the first attempt after a bye
    late.push(Math.round(performance.now() - due));
    due = 0;
  });
}

// Not all at once: a crowd that arrives is not what is tried here.
const arriving = setInterval(() => {
  for (let n = 0; n < 10 && created < count; n++, created++) start();
  if (created === Number(count)) clearInterval(arriving);
}, 25);
setInterval(() => {
  const open = clients.reduce((sum, { state }) => sum + (state === "open"), 0);
  if (open !== said) process.stdout.write(JSON.stringify({ open: (said = open) }) + "\n");
}, 100);
createInterface({ input: process.stdin }).on("line", () =>
  process.stdout.write(JSON.stringify({ byes, firsts, attempts, returns, late, errors }) + "\n"));
