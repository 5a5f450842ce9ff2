// Drives the client library (src/api/assets/client) from a test: commands come on stdin, one JSON
// object a line, and everything that the library says goes to stdout.
//
//   node library.mjs MODULE URL OPTIONS     OPTIONS: connect()'s, as JSON, and
//     tokens: [...]     what getToken() gives, one after the other; an object {"throw": text} throws,
//                       and one with reasons as names gives what is there for the reason
//     webSocket: false  pretend that there is none;  store: a file that is the position storage

import { createRequire } from "node:module";
import { readFileSync, writeFileSync } from "node:fs";
import { createInterface } from "node:readline";

const [module, url, json] = process.argv.slice(2);
const { tokens, webSocket, store, ...options } = JSON.parse(json ?? "{}");
const { connect } = await import(module);
const report = (value) => process.stdout.write(JSON.stringify(value) + "\n");
const fault = ({ name, code, message, room, cause }) => ({ name, code, message, room, cause: cause && String(cause) });

if (tokens)
  options.getToken = async ({ reason }) => {
    const token = tokens.length > 1 ? tokens.shift() : tokens[0];
    report({ asked: reason, at: Date.now() });
    if (token?.throw) throw new Error(token.throw);
    return typeof token === "object" && token ? token[reason] : token;
  };
if (webSocket === false) {
  delete globalThis.WebSocket;
} else {
  // Node before 22 has none. `import` does not look where NODE_PATH says, `require` does.
  options.WebSocket = createRequire(import.meta.url)("ws");
}
if (store) {
  const read = () => { try { return JSON.parse(readFileSync(store, "utf8")); } catch { return {}; } };
  options.storage = {
    getItem: (name) => read()[name] ?? null,
    setItem: (name, value) => writeFileSync(store, JSON.stringify({ ...read(), [name]: value })),
  };
}

process.on("unhandledRejection", (error) => report({ unhandled: String(error) }));
process.on("uncaughtException", (error) => report({ uncaught: String(error?.stack ?? error) }));

const client = connect(url, options);
for (const name of ["state", "open", "close", "bye", "acked", "subscribed", "unsubscribed", "lost"])
  client.on(name, (value) => report({ event: name, value, at: Date.now() }));
client.on("error", (error) => report({ event: "error", value: fault(error) }));

const subscriptions = new Map();
const commands = {
  subscribe({ target, options, as, only, failing, leaving, closing }) {
    const callbacks = {};
    for (const name of only ?? ["message", "join", "leave", "subscribed", "lost", "unsubscribed", "acked", "error"])
      callbacks[name] = (value) => {
        report({ on: name, as, value: name === "error" ? fault(value) : value });
        if (name !== "message") return;
        if (value.data === leaving) subscription.unsubscribe();
        if (value.data === closing) client.close();
        if (value.data === failing) throw new Error("on purpose");
      };
    const subscription = client.subscribe(target, callbacks, options);
    subscriptions.set(as, subscription);
    subscription.ready.then((answer) => report({ ready: as, answer }), (error) => report({ refused: as, error: fault(error) }));
  },
  unsubscribe({ as }) { subscriptions.get(as).unsubscribe(); },
  position({ as }) { report({ position: as, value: subscriptions.get(as).position, active: subscriptions.get(as).active }); },
  call({ method, args, tag }) {
    Promise.resolve(client[method](...args)).then(
      (answer) => report({ answer: tag, value: answer ?? null }),
      (error) => report({ failed: tag, error: fault(error) }));
  },
  look() {
    const { state, session, user, transport, closeReason } = client;
    report({ look: { state, session, user, transport, closeReason } });
  },
};

// The end of stdin ends nothing: the process must end by itself once the client is closed.
createInterface({ input: process.stdin }).on("line", (line) => {
  const command = JSON.parse(line);
  commands[command.do](command);
});
