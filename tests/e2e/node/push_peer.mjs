// APNs and a Web Push service on Node's http2, with faults on command: a server that shares no code
// with ours. Arguments: JSON {certificate, key}. Prints its port. Then one order a line on stdin,
// each answered by one line of JSON:
//
//   {"settings": 5}              SETTINGS_MAX_CONCURRENT_STREAMS, on connections there are and come
//   {"goaway": "middle"}         GOAWAY that names the middle one of the open streams; "all": the
//                                newest; "close": the same, and the end when they are answered
//   {"reset": 8}                 RST_STREAM on all open streams, with this code
//   {"drop": true}               TCP reset on all connections
//   {"latency": [20, 60]}        ms from a request to its answer, of this range
//   {"steps": {"TOKEN": [{"status": 503, "reason": "…", "retryAfter": "1"}, {"reset": 7}]}}
//   {"requests": true}           what came, as the push simulator shows it
import { readFileSync } from "node:fs";
import http2 from "node:http2";
import { createInterface } from "node:readline";

const options = JSON.parse(process.argv[2]);
const refusedStream = http2.constants.NGHTTP2_REFUSED_STREAM;
const records = [];
const steps = new Map();
const sessions = new Set();
const sockets = new Set();
let limit = 100;
let latency = [0, 0];
let most = 0;

const server = http2.createSecureServer({
  cert: readFileSync(options.certificate),
  key: readFileSync(options.key),
  settings: { maxConcurrentStreams: limit },
});
server.on("connection", (socket) => {
  sockets.add(socket);
  socket.on("close", () => sockets.delete(socket));
});
server.on("sessionError", () => {});
server.on("session", (session) => {
  session.open = new Map();
  session.lastProcessed = Infinity;
  sessions.add(session);
  session.on("error", () => {});
  session.on("close", () => sessions.delete(session));
  session.on("stream", (stream, headers) => receive(session, stream, headers));
  if (limit !== 100) session.settings({ maxConcurrentStreams: limit });
});

function receive(session, stream, headers) {
  const path = headers[":path"];
  const record = { token: path.slice(path.lastIndexOf("/") + 1), path, headers: { ...headers } };
  if (headers["apns-id"]) record.id = headers["apns-id"];
  const body = [];
  session.open.set(stream.id, stream);
  most = Math.max(most, session.open.size);
  stream.on("error", () => {});
  stream.on("data", (chunk) => body.push(chunk));
  stream.on("end", () => {
    record.body = Buffer.concat(body).toString("base64url");
    const step = steps.get(record.token)?.shift() ?? { status: path.startsWith("/3/device/") ? 200 : 201 };
    setTimeout(() => answer(stream, record, step), latency[0] + Math.random() * (latency[1] - latency[0]));
  });
  stream.on("close", () => {
    session.open.delete(stream.id);
    if (record.status) return;
    const notProcessed = stream.id > session.lastProcessed || stream.rstCode === refusedStream;
    note(record, { status: 0, fate: notProcessed ? "not_processed" : "reset" });
  });
}

function note(record, what) {
  if (records.includes(record)) return;
  records.push(Object.assign(record, what, { time: Date.now() }));
}

function answer(stream, record, step) {
  if (stream.destroyed || stream.closed) return;
  if (step.reset !== undefined) return stream.close(step.reset);
  note(record, { status: step.status });
  const fields = { ":status": step.status };
  if (record.id) fields["apns-id"] = record.id;
  if (step.retryAfter) fields["retry-after"] = step.retryAfter;
  stream.respond(fields);
  stream.end(step.reason ? JSON.stringify({ reason: step.reason }) : "");
}

function goaway(session, variant) {
  const ids = [...session.open.keys()].sort((a, b) => a - b);
  if (variant === "close") return session.close();
  const newest = session.state.lastProcStreamID;
  const last = variant === "middle" && ids.length > 0 ? ids[(ids.length - 1) >> 1] : newest;
  session.lastProcessed = Math.min(session.lastProcessed, last);
  session.goaway(0, last, Buffer.from('{"reason":"Shutdown"}'));
}

function obey(order) {
  if (order.latency) latency = order.latency;
  for (const [token, list] of Object.entries(order.steps ?? {})) steps.set(token, list);
  if (order.settings !== undefined) {
    limit = order.settings;
    for (const session of sessions) session.settings({ maxConcurrentStreams: limit });
  }
  for (const session of [...sessions]) {
    if (order.goaway) goaway(session, order.goaway);
    if (order.reset !== undefined) for (const stream of session.open.values()) stream.close(order.reset);
  }
  if (order.drop) for (const socket of sockets) socket.resetAndDestroy();
  if (order.requests) return { requests: records, most };
  return { count: records.length };
}

server.listen(0, "127.0.0.1", () => console.log(server.address().port));
for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(obey(JSON.parse(line))));
}
process.exit(0);
