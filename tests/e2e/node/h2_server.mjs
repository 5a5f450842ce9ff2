// Node's HTTP/2 server: answers each request with its body. Prints its port, and at SIGTERM what it
// saw, as JSON. Arguments: JSON {certificate, key, streams, closeAfter}.
import { readFileSync } from "node:fs";
import http2 from "node:http2";

const options = JSON.parse(process.argv[2]);
const settings = { settings: { maxConcurrentStreams: options.streams } };
const server = options.certificate
  ? http2.createSecureServer({ ...settings, cert: readFileSync(options.certificate), key: readFileSync(options.key) })
  : http2.createServer(settings);

const seen = { requests: 0, sessions: 0, open: 0, most: 0, bytes: 0 };
server.on("session", (session) => {
  seen.sessions += 1;
  let count = 0;
  let open = 0;
  session.on("stream", (stream) => {
    seen.requests += 1;
    seen.most = Math.max(seen.most, ++open);
    stream.on("close", () => { open -= 1; });
    stream.on("error", () => {});
    stream.on("data", (chunk) => { seen.bytes += chunk.length; });
    stream.on("end", () => {
      stream.respond({ ":status": 200, "content-type": "application/json" });
      stream.end("{}");
    });
    // Graceful: GOAWAY, those that are open go on.
    if (++count === options.closeAfter) session.close();
  });
  session.on("error", () => {});
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
process.on("SIGTERM", () => {
  console.log(JSON.stringify(seen));
  process.exit(0);
});
