'use strict';
// Follows a room with the `ws` library and reports on stdout, one JSON value a line.
// Commands come on stdin: {"cut":true} breaks the connection and comes back with `since`.

const readline = require('readline');
const WebSocket = require('ws');

const [url, room] = process.argv.slice(2);
const report = (value) => process.stdout.write(JSON.stringify(value) + '\n');

let position = null; // {epoch, offset} of the newest message seen
let socket = null;

function connect() {
  socket = new WebSocket(url, 'fanfare.json.v1', { perMessageDeflate: true });
  socket.on('message', (data, isBinary) => {
    if (isBinary) throw new Error('a binary frame on a text protocol');
    const frame = JSON.parse(data);
    if (frame.op === 'welcome') {
      const request = { id: 1, op: 'subscribe', room };
      if (position) request.since = position;
      socket.send(JSON.stringify(request));
    } else if (frame.id === 1) {
      if (!position) position = { epoch: frame.epoch, offset: frame.offset };
      report({ subscribed: frame, extensions: socket.extensions, protocol: socket.protocol });
    } else if (frame.op === 'message') {
      position.offset = frame.offset;
      report({ offset: frame.offset, data: frame.data });
    }
  });
  socket.on('close', (code) => report({ closed: code }));
  socket.on('error', (error) => report({ error: error.message }));
}

readline.createInterface({ input: process.stdin }).on('line', (line) => {
  const command = JSON.parse(line);
  if (command.cut) socket.terminate();
  if (command.connect) connect();
  if (command.send) socket.send(JSON.stringify(command.send));
}).on('close', () => process.exit(0));

connect();
