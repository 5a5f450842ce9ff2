// The client library on the WebSocket that Node itself brings: node builtin.mjs MODULE URL ROOM

const [module, url, room] = process.argv.slice(2);
const { connect } = await import(module);

const client = connect(url);
client.on("error", (error) => { throw error; });
const heard = new Promise((resolve) => client.subscribe(room, resolve));
const { offset } = await client.publish(room, { from: "node" });
const message = await heard;
console.log(JSON.stringify({ transport: client.transport, offset, heard: message.offset, data: message.data }));
client.close();
