// A push server as one writes it with Node's `ws`: the part of the protocol that fanfare-load speaks,
// one broadcast loop, nothing else. Messages are framed once per message, as the package's documentation
// advises for broadcasts (`send` of a Buffer, text). Listens on the loopback address only.
//
//   NODE_PATH=/usr/share/nodejs node ws.js PORT
'use strict';

const http = require('http');
const { WebSocketServer } = require('ws');

const EPOCH = 'peer';
const rooms = new Map(); // name to { newest, subscribers }

function roomOf(name) {
  let room = rooms.get(name);
  if (!room) rooms.set(name, (room = { newest: 0, subscribers: new Set() }));
  return room;
}

function publish(request, response) {
  const pieces = [];
  request.on('data', (piece) => pieces.push(piece));
  request.on('end', () => {
    const { room: name, data } = JSON.parse(Buffer.concat(pieces));
    const room = roomOf(name);
    const offset = ++room.newest;
    const text = Buffer.from(JSON.stringify({ op: 'message', room: name, offset, data }));
    for (const socket of room.subscribers) socket.send(text, { binary: false });
    const answer = JSON.stringify({ room: name, epoch: EPOCH, offset });
    response.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': answer.length });
    response.end(answer);
  });
}

const server = http.createServer(publish);
const sockets = new WebSocketServer({
  server,
  path: '/ws',
  perMessageDeflate: false,
  clientTracking: false,
  handleProtocols: () => 'fanfare.json.v1',
});

sockets.on('connection', (socket) => {
  socket.send('{"op":"welcome","session":"peer","user":null,"heartbeat":3600}');
  socket.on('message', (bytes) => {
    const { id, room: name } = JSON.parse(bytes);
    const room = roomOf(name);
    room.subscribers.add(socket);
    socket.on('close', () => room.subscribers.delete(socket));
    socket.send(JSON.stringify({ id, op: 'ok', room: name, epoch: EPOCH, offset: room.newest }));
  });
});

process.on('SIGTERM', () => process.exit(0));
server.listen({ port: Number(process.argv[2]), host: '127.0.0.1', backlog: 4096 });
