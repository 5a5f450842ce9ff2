'use strict';
// Follows rooms with the `eventsource` library, which reconnects by itself, and reports on stdout.

const EventSource = require('eventsource');

const [url, ...names] = process.argv.slice(2);
const report = (value) => process.stdout.write(JSON.stringify(value) + '\n');

const source = new EventSource(url);
const onMessage = (event) => {
  const { room, offset, data } = JSON.parse(event.data);
  report({ room, offset, data, event: event.type, id: event.lastEventId });
};
source.addEventListener('message', onMessage);
for (const name of names) source.addEventListener(name, onMessage);
source.addEventListener('ready', (event) => {
  source.reconnectInterval = 50; // whatever `retry:` said: a test does not wait
  report({ ready: JSON.parse(event.data) });
});
source.addEventListener('bye', (event) => report({ bye: JSON.parse(event.data) }));
source.onerror = (error) => report({ error: error.status || 'connection' });

process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
