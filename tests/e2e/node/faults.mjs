// The client library against servers that the gateway is not: every close code, frames and streams
// full of rubbish, an inbox whose store fails. Prints one JSON object.
//
//   node faults.mjs MODULE SEED

import { createRequire } from "node:module";
import { createServer } from "node:http";
import { once } from "node:events";

const WebSocket = createRequire(import.meta.url)("ws");
const [module, seed] = process.argv.slice(2);
const { connect, backoffDelay } = await import(module);
const results = {};
const wild = [];
process.on("unhandledRejection", (error) => wild.push(String(error?.stack ?? error)));
process.on("uncaughtException", (error) => wild.push(String(error?.stack ?? error)));

// mulberry32: the same rubbish for the same seed.
let state = Number(seed) >>> 0;
const random = () => {
  let t = (state = (state + 0x6d2b79f5) >>> 0);
  t = Math.imul(t ^ (t >>> 15), t | 1);
  t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
  return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
};
const pick = (list) => list[Math.floor(random() * list.length)];
const backoff = { min: 10, max: 20 };
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

async function until(condition, what, ms = 20_000) {
  const end = Date.now() + ms;
  while (!condition()) {
    if (Date.now() > end) throw new Error(`${what} did not happen`);
    await sleep(5);
  }
}

/** A server whose WebSockets say hello and answer as told, and whose streams are `stream`'s. */
async function serve(onRequest, stream) {
  const http = createServer((request, response) => stream?.(request, response));
  const sockets = new WebSocket.Server({ server: http, path: "/ws" });
  let connections = 0;
  sockets.on("connection", (socket) => {
    connections++;
    const send = (frame) => socket.send(typeof frame === "string" ? frame : JSON.stringify(frame));
    socket.on("error", () => {});
    socket.on("message", (data) => onRequest?.(JSON.parse(String(data)), send, socket));
    send({ op: "welcome", session: `s${connections}`, user: null, node: "n", heartbeat: 30 });
    onRequest?.({ op: "hello" }, send, socket);
  });
  http.listen(0, "127.0.0.1");
  await once(http, "listening");
  return {
    url: `http://127.0.0.1:${http.address().port}`,
    get connections() { return connections; },
    close() {
      sockets.clients.forEach((socket) => socket.terminate());
      http.closeAllConnections();
      http.close();
    },
  };
}

// ---- the wait before each try, without waiting ----
results.backoff = {
  plain: [0, 1, 2, 3, 4, 5, 6, 100].map((n) => backoffDelay(n, {}, () => 0.5)),
  shortest: [0, 1, 2].map((n) => backoffDelay(n, {}, () => 0)),
  longest: [0, 1, 2].map((n) => backoffDelay(n, {}, () => 1)),
  own: [0, 1, 2, 3].map((n) => backoffDelay(n, { min: 100, max: 300, jitter: 0 })),
};

// ---- close codes ----
results.codes = {};
for (const code of [1000, 1001, 1002, 1003, 1007, 1009, 1011, 1012, 1013, 4000, 4400, 4401, 4403, 4408, 4409, 4429]) {
  const server = await serve(({ op }, send, socket) => { if (op === "hello") socket.close(code, "why"); });
  const asked = [];
  const getToken = ({ reason }) => { asked.push(reason); return reason === "refused" ? "fresh.for." + asked.length : null; };
  const client = connect(server.url, { WebSocket, backoff, transport: "websocket", getToken });
  const closes = [];
  client.on("close", (close) => closes.push(close));
  await until(() => closes.length > 0, `the close with ${code}`);
  if (closes[0].reconnectIn !== null) await until(() => server.connections > 1, `the return after ${code}`);
  else await sleep(60);
  results.codes[code] = { seen: closes[0].code, returns: server.connections > 1, asked: asked.includes("refused") };
  client.close();
  server.close();
}

// ---- bye with rubbish in it ----
results.byes = [];
for (const reconnect_in of ["x", -5, null, {}, 30, 1e300, undefined]) {
  const server = await serve(({ op }, send, socket) => {
    if (op !== "hello") return;
    send({ op: "bye", code: "drain", message: 5, reconnect_in });
    socket.close(1001);
  });
  const client = connect(server.url, { WebSocket, backoff, transport: "websocket" });
  let close;
  client.on("close", (value) => { close ??= value; });
  await until(() => close, "the close after bye");
  results.byes.push(Math.round(close.reconnectIn));
  client.close();
  server.close();
}

// ---- rubbish in frames ----
const junk = [null, true, false, 0, -1, 1.5, 1e300, "", "x", "__proto__", "constructor", [], [1], {}, { a: { b: [] } },
  "💥", "\u0000", 2 ** 53, "9".repeat(40), "other"];
const OPS = ["ok", "error", "pong", "message", "join", "leave", "subscribed", "reset", "acked", "welcome", "unsubscribed",
  "hello", "__proto__", "", null, 7];
function rubbish() {
  const kind = random();
  if (kind < 0.15) return pick(["", "null", "5", '"x"', "[]", "{", '{"op":', "[".repeat(5000), "\ufeff{}", "true", "{}{}", "nul\u0000"]);
  const frame = { op: pick(OPS) };
  for (const name of ["id", "room", "epoch", "offset", "data", "user", "code", "message", "session", "heartbeat", "expires",
    "recovered", "event", "from", "pattern", "reconnect_in"])
    if (random() < 0.4) frame[name] = pick(junk);
  // With the room's own name only what cannot be meant: offsets that are none.
  if (random() < 0.3 && ["message", "join", "reset", "subscribed", "acked"].includes(frame.op)) {
    frame.room = "r";
    if (frame.op !== "join" && frame.op !== "acked") frame.offset = pick([null, -1, 1.5, "x", [], {}, 1e300, true]);
  }
  return JSON.stringify(frame);
}
{
  const count = 3000;
  const server = await serve(({ op, id, room }, send, socket) => {
    if (op === "ping") send({ id, op: "pong" });
    if (op !== "subscribe") return;
    send({ id, op: "ok", room, epoch: "e", offset: 0 });
    for (let n = 1; n <= count; n++) {
      send(rubbish());
      if (n % 50 === 0) socket.send(Buffer.from([0, 255, n % 256]));     // binary
      send({ op: "message", room: "r", offset: n, data: { n } });
      if (n % 7 === 0) send({ op: "message", room: "r", offset: n - 3, data: { n: -1 } });     // a duplicate
    }
  });
  const client = connect(server.url, { WebSocket, backoff, transport: "websocket" });
  client.on("error", () => {});
  const seen = [], lost = [];
  client.subscribe("r", { message: ({ data }) => { if (data?.n !== undefined) seen.push(data.n); }, lost: (loss) => lost.push(loss) });
  await until(() => seen.length >= count, "the last message among rubbish");
  results.frames = { inOrder: seen.every((n, i) => n === i + 1), count: seen.length, lost: lost.length, state: client.state,
    connections: server.connections };
  client.close();
  server.close();
}

// ---- an answer that is none; a reset ----
{
  let first = true;
  const server = await serve(({ op, id, room }, send) => {
    if (op !== "subscribe") return;
    send({ id, op: "ok", room, ...(first ? { epoch: 5, offset: "x" } : { epoch: "e", offset: 7 }) });
    if (!first) {
      send({ op: "message", room, offset: 8, data: 8 });
      send({ op: "reset", room, epoch: "f", offset: 20 });
      send({ op: "message", room, offset: 21, data: 21 });
      send({ op: "message", room, offset: 25, data: 25 });     // never from a gateway: a hole
    }
    first = false;
  });
  const client = connect(server.url, { WebSocket, backoff, transport: "websocket" });
  const seen = [], lost = [], errors = [];
  client.subscribe("r", { message: ({ data }) => seen.push(data), lost: (loss) => lost.push(loss), error: (error) => errors.push(error.code) });
  await until(() => seen.length === 3, "the message after a reset");
  results.reset = { seen, lost, errors };
  client.close();
  server.close();
}

// ---- rubbish in streams ----
{
  const count = 600;
  const event = (fields) => Object.entries(fields).map(([name, value]) => `${name}: ${value}`).join(pick(["\n", "\r\n", "\r"]));
  const noise = () => pick([":\n\n", ": comment\r\n\r\n", "data\n\n", "event: x\n\n", "data: {\n\n", "data: null\ndata: 5\n\n",
    "foo: bar\n\n", "retry: x\n\n", "retry: -5\n\n", "id: a\u0000b\n\n", "data: " + "x".repeat(5000) + "\n\n", "\r\n\r\n", "\n\r\n",
    ` data: {"room":"r","offset":1}\n\n`, "event: ready\ndata: []\n\n", "event: error\ndata: 5\n\n", "event: message\ndata: " +
    rubbish().replace(/[\r\n]/g, "") + "\n\n", "event: join\ndata: {\"room\":{}}\n\n"]);
  const server = await serve(null, (request, response) => {
    response.writeHead(200, { "Content-Type": "text/event-stream; charset=x" });
    let text = "\ufeff" + "retry: 50\n\n" + `id: c0\nevent: ready\ndata: {"session":"s",\ndata: "rooms":{"r":{"epoch":"e","offset":0}}}\n\n`;
    for (let n = 1; n <= count; n++) {
      text += noise();
      text += event({ id: `c${n}`, event: pick(["message", "typed", "__proto__"]), data: `{"room":"r","offset":${n},"data":{"n":${n},"t":"é💥"}}` }) + "\n\n";
    }
    const bytes = Buffer.concat([Buffer.from(text), Buffer.from(":\xff\xfe\n\n", "latin1")]);
    // In pieces of any size: a character, or a CRLF, may be cut in two.
    for (let at = 0; at < bytes.length;) {
      const size = 1 + Math.floor(random() * (random() < 0.5 ? 4 : 3000));
      response.write(bytes.subarray(at, at + size));
      at += size;
    }
  });
  const client = connect(server.url, { backoff, transport: "sse" });
  client.on("error", () => {});
  const seen = [], lost = [];
  client.subscribe("r", { message: ({ data }) => { if (data?.n) seen.push(data); }, lost: (loss) => lost.push(loss) });
  await until(() => seen.length >= count, "the last event among rubbish");
  results.streams = { inOrder: seen.every(({ n, t }, i) => n === i + 1 && t === "é💥"), count: seen.length, lost: lost.length, state: client.state };
  client.close();
  server.close();
}

// ---- answers that are no streams ----
{
  const answers = [[200, { "Content-Type": "text/html" }, "<h1>Sign in to the network</h1>"], [204, {}, ""], [500, {}, "no"],
    [429, { "Retry-After": "0" }, "{"], [302, { Location: "/sse" }, ""], [400, {}, "not JSON"], [200, {}, ""]];
  results.answers = [];
  for (const [status, headers, body] of answers) {
    let asked = 0;
    const server = await serve(null, (request, response) => { asked++; response.writeHead(status, headers).end(body); });
    const client = connect(server.url, { backoff, transport: "sse", connectTimeout: 2000 });
    const errors = [];
    client.on("error", (error) => errors.push(error.code));
    client.subscribe("r");
    await until(() => asked > 1 || errors.length > 0, `a second try after ${status}`);
    results.answers.push([status, asked > 1, errors[0] ?? null]);
    client.close();
    server.close();
  }
}

// ---- the inbox ----
{
  const acks = [];
  const server = await serve(({ op, id, room, offset, device }, send) => {
    if (op === "subscribe") {
      send({ id, op: "ok", room, epoch: "e", offset: 9, device });
      for (const [n, attempt] of [[3], [7], [7, 2], [9], [12]])
        send({ op: "message", room, offset: n, id: `n${n}`, data: { title: `t${n}` }, ...(attempt ? { attempt } : {}) });
    } else if (op === "ack") {
      acks.push(offset);
      send({ id, op: "ok", room, offset });
      send({ op: "acked", room, offset: 12 });
    }
  }, (request, response) => {
    if (request.url === "/sse/ack") {
      request.on("data", (data) => acks.push(JSON.parse(String(data))));
      request.on("end", () => response.writeHead(204).end());
    } else {
      response.writeHead(200, { "Content-Type": "text/event-stream" });
      response.write(`event: ready\ndata: {"session":"s","rooms":{"@me":{"epoch":"e","offset":9}}}\n\n`);
    }
  });
  const seen = [], lost = [], acked = [];
  const client = connect(server.url, { WebSocket, backoff, transport: "websocket" });
  client.subscribe("@me", { message: ({ offset }) => seen.push(offset), lost: (loss) => lost.push(loss), acked: (value) => acked.push(value) });
  await until(() => seen.length === 4, "the inbox");
  const answer = await client.ack("@me", 7);
  await until(() => acked.length === 1, "acked");
  client.close();
  const stream = connect(server.url, { backoff, transport: "sse" });
  stream.subscribe("@me");
  await until(() => stream.state === "open", "the stream");
  const byStream = await stream.ack("@me", 9);
  stream.close();
  results.inbox = { seen, lost: lost.length, acked, answer, byStream, acks };
  server.close();
}

// ---- an inbox that cannot be read for a moment ----
results.unreadable = {};
for (const transport of ["websocket", "sse"]) {
  const asked = [];
  const out = { room: "@me", code: "unavailable", message: "the inbox cannot be read now" };
  const message = (offset) => ({ room: "@me", offset, data: {} });
  const server = await serve(({ op, id, room, since }, send) => {
    if (op !== "subscribe") return;
    asked.push(since?.offset ?? null);
    send({ id, op: "ok", room, epoch: "e", offset: 9, acked: 2, ...(since && { recovered: true }) });
    for (const n of asked.length === 1 ? [3, 4] : [5, 9]) send({ op: "message", ...message(n) });
    if (asked.length === 1) send({ op: "unsubscribed", ...out });
  }, (request, response) => {
    asked.push(new URL(request.url, "http://x").searchParams.get("last"));
    response.writeHead(200, { "Content-Type": "text/event-stream" });
    const send = (event, data) => response.write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
    send("ready", { session: `s${asked.length}`, rooms: { "@me": { epoch: "e", offset: 9, acked: 2 } } });
    for (const n of asked.length === 1 ? [3, 4] : [3, 4, 5, 9]) send("message", message(n));
    if (asked.length === 1) send("unsubscribed", out);
  });
  const seen = [], errors = [], ends = [], lost = [];
  const client = connect(server.url, { WebSocket, backoff, transport });
  const subscription = client.subscribe("@me", { message: ({ offset }) => seen.push(offset), lost: (loss) => lost.push(loss),
    error: ({ code, room }) => errors.push([code, room]), unsubscribed: (end) => ends.push(end) });
  await until(() => seen.length === 4, `the rest of the inbox by ${transport}`);
  results.unreadable[transport] = { asked, seen, errors, ends, lost, active: subscription.active };
  client.close();
  server.close();
}

// ---- misuse is said at once ----
results.misuse = [
  () => connect("ftp://x"), () => connect("http://"), () => connect(), () => connect("http://x", { transport: "carrier pigeon" }),
  () => connect("http://127.0.0.1:9", { transport: "sse" }).subscribe(""),
  () => connect("http://127.0.0.1:9", { transport: "sse" }).subscribe("r", { onMessage() {} }),
  () => connect("http://127.0.0.1:9", { transport: "sse" }).subscribe("r", () => {}, { since: { epoch: 5 } }),
  () => connect("http://127.0.0.1:9", { transport: "sse" }).on("mesage", () => {}),
].map((act) => { try { act(); return null; } catch (error) { return error.constructor.name; } });
{
  const server = await serve(({ op, id }, send) => { if (op === "publish") send({ id, op: "ok", room: "r" }); });
  const client = connect(server.url, { WebSocket, transport: "websocket" });
  await until(() => client.state === "open", "open");
  const cycle = {};
  cycle.cycle = cycle;
  results.notJson = await client.publish("r", cycle).then(() => "published", (error) => error.constructor.name);
  results.afterwards = await client.publish("r", undefined);
  client.close();
  server.close();
}

results.wild = wild;
process.stdout.write(JSON.stringify(results) + "\n", () => process.exit(0));
