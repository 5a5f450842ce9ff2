// Compiled, never run: what a user of the client library writes, and what the compiler must refuse.
import { connect, backoffDelay, Client, FanfareError } from "fanfare-client";
import type { History, Loss, Message, Position, Subscription, TokenReason } from "fanfare-client";

interface Said { text: string }

const client: Client = connect("https://push.example.com", {
  getToken: async ({ reason }: { reason: TokenReason }) => (reason === "refused" ? null : "token"),
  storage: { getItem: () => null, setItem: () => {} },
  backoff: { min: 1000, max: 30_000, jitter: 0.2, stable: 5000 },
  transport: "auto",
  WebSocket,
  fetch,
});
connect({ token: "t", transport: "sse" });
connect(new URL("wss://push.example.com"));
connect();

const chat: Subscription = client.subscribe<Said>("chat:1", {
  message: ({ data, from, offset, ephemeral }) => console.log(data.text.toUpperCase(), from?.length, offset, ephemeral),
  lost: (loss: Loss) => console.log(loss.reason, loss.missed, loss.since.offset),
  join: ({ user }) => console.log(user),
  error: (error: FanfareError) => console.log(error.code, error.room),
}, { last: 10 });
client.subscribe("news", (message: Message<Said>) => console.log(message.data.text), { since: null });
client.subscribe({ pattern: "post_*" }, ({ room }) => console.log(room));
const position: Position | null = chat.position;
chat.ready.then(({ offset, recovered }) => console.log(offset, recovered, position));
chat.unsubscribe();

const off: () => void = client.on("close", ({ code, reconnectIn }) => console.log(code, reconnectIn?.toFixed()));
client.on("state", ({ state }) => console.log(state === "waiting"));
client.on("error", (error) => console.log(error.code));
off();

async function requests(): Promise<void> {
  const { offset, duplicate } = await client.publish("chat:1", { text: "hi" }, { event: "said", key: "k1" });
  const { members, total } = await client.presence("chat:1");
  const history: History<Said> = await client.history<Said>("chat:1", { limit: 5, reverse: true });
  await client.ack("@me", 4);
  const user: string | null = await client.auth("token");
  console.log(offset, duplicate, members[0]?.sessions, total, history.messages[0]?.data.text, user);
}
requests();
backoffDelay(3, { min: 100 }, Math.random).toFixed();
client.connect();
client.close();

// @ts-expect-error: no such event
client.on("closed", () => {});
// @ts-expect-error: no such callback
client.subscribe("room", { onMessage() {} });
// @ts-expect-error: no such transport
connect({ transport: "carrier pigeon" });
// @ts-expect-error: data is unknown until it is said what it is
client.subscribe("room", ({ data }) => data.text);
// @ts-expect-error: comes from connect()
new Client();
// @ts-expect-error: read only
client.state = "open";
