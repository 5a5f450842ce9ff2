// The demo page's behaviour: two clients of the library side by side, one by WebSocket, one by SSE,
// and what they hear in one list. All that concerns connections is in fanfare.js.

import { connect } from "./fanfare.js";

const LAST = 10;                  // messages of history shown for a new room
const ROWS = 300;                 // rows kept in the list
const LOSSES = { epoch: "as the gateway began anew", trimmed: "no longer kept", reset: "by a reset" };
const PAGE = Math.random().toString(36).slice(2, 8);   // marks what this page published

const $ = (id) => document.getElementById(id);
const now = () => performance.timeOrigin + performance.now();

// Strings become text nodes: whatever a message holds, it stays text.
function el(tag, className, ...children) {
  const node = document.createElement(tag);
  node.className = className;
  node.append(...children);
  return node;
}
function setText(node, text) {
  if (node.textContent !== String(text)) node.textContent = text;
}
function say(id, text, kind = "") {
  $(id).className = "result " + kind;
  setText($(id), text);
}
function parse(text) {
  try { return JSON.parse(text); } catch { return null; }
}

// ---- the list ----

const feed = $("feed"), list = feed.querySelector("ol");
let rows = [], flushing = false;

function addRow(row) {
  rows.push(row);
  if (rows.length > ROWS) rows.shift();
  if (!flushing) setTimeout(flush, 30);   // many at once cost one layout
  flushing = true;
}
function flush() {
  flushing = false;
  $("empty").hidden = true;
  feed.setAttribute("aria-live", rows.length > 8 ? "off" : "polite");   // a flood is not read out
  const before = feed.scrollHeight;
  list.prepend(...rows.reverse());
  if (feed.scrollTop > 0) feed.scrollTop += feed.scrollHeight - before;   // stay where the reader is
  while (list.childElementCount > ROWS) list.lastChild.remove();
  rows = [];
}
function badge(link, ...more) {
  return el("span", "badge " + link.kind, link.kind.toUpperCase(), ...more);
}
function when(prefix = "") {
  return el("span", "when", prefix + new Date().toTimeString().slice(0, 8));
}
function notice(link, text, kind = "") {
  addRow(el("li", "notice " + kind, badge(link), el("span", "", text), when()));
}
function show(link, { room, offset, event, from, data, replayed }) {
  const tag = (text) => el("span", "badge tag", text);
  const meta = el("div", "meta", badge(link), el("strong", "", room));
  meta.append(offset === undefined ? tag("ephemeral") : el("span", "soft mono", "#" + offset));
  if (event) meta.append(tag(event));
  if (replayed) meta.append(tag("from history"));
  if (from !== undefined) meta.append(el("span", "soft", "by " + from));
  let latency = "";
  if (!replayed && data?.page === PAGE) {
    const ms = Math.max(0, now() - data.sent);
    latency = ms.toFixed(ms < 10 ? 1 : 0) + " ms";
    setText(link.figures.latency, latency);
    latency += " · ";
  }
  meta.append(when(latency));

  let text = data;
  if (typeof data?.text === "string" && Object.keys(data).every((name) => /^(text|sent|page)$/.test(name))) text = data.text;
  if (typeof text !== "string") text = JSON.stringify(text);
  const row = el("li", "", meta, el("div", "data", text.slice(0, 4000)));
  Object.assign(row.dataset, { transport: link.kind, room, offset: offset ?? "" });
  addRow(row);
}

// ---- the two clients ----

class Link {
  constructor(kind, transport, title, path) {
    Object.assign(this, { kind, transport, title });
    this.client = null;
    this.subscriptions = new Map();
    this.positions = new Map();     // of the library, in memory: connecting again goes on from there
    this.shown = new Map();         // room → position of the last message here, to check the library
    this.joined = new Set();
    this.counts = { received: 0, reconnects: 0, duplicates: 0 };
    this.card = document.querySelector(`[data-link=${kind}]`);
    const heading = el("h2", "", title + " ", el("code", "soft", path));
    this.button = el("button", "toggle", "");
    this.button.onclick = () => this.client ? this.disconnect() : this.connect();
    this.status = el("p", "state", "");
    this.session = el("span", "mono", "–");
    this.figures = {};
    const figures = ["received", "latency", "reconnects", "duplicates"].map((name) => {
      this.figures[name] = el("dd", "", this.counts[name] ?? "–");
      return el("div", "", el("dt", "", name), this.figures[name]);
    });
    this.card.append(el("div", "row between", heading, this.button), this.status,
      el("p", "session hint", "Session ", this.session), el("dl", "figures", ...figures));
    this.setState("off", "Not connected");
  }
  count(name) {
    setText(this.figures[name], ++this.counts[name]);
  }
  setState(state, text) {
    this.card.dataset.state = state;
    setText(this.status, text);
    setText(this.button, this.client ? "Disconnect" : "Connect");
    this.button.ariaLabel = this.button.textContent + " " + this.title;
    this.button.classList.toggle("main", !this.client);
    if (state !== "open") {
      this.joined.clear();
      setText(this.session, "–");
    }
    renderRooms();
  }

  connect() {
    const client = this.client = connect(location.origin, {
      transport: this.transport,
      getToken: () => $("token").value.trim() || null,
      storage: { getItem: (name) => this.positions.get(name) ?? null, setItem: (name, value) => this.positions.set(name, value) },
      backoff: { min: 1000, max: 30_000 },     // someone is watching
    });
    client.on("state", ({ state, reconnectIn, attempt }) => this.onState(state, reconnectIn, attempt));
    client.on("open", ({ session, user, node }) => {
      setText(this.session, session);
      if (node) setText($("node"), " · node " + node);
      if (this.lost) this.count("reconnects");
      if (this.lost !== false) notice(this, user ? `Connected as ${user}.` : "Connected.");
      this.lost = false;
    });
    client.on("close", ({ code, reason, reconnectIn }) => this.onClose(code, reason, reconnectIn));
    client.on("bye", ({ code }) => notice(this, `The gateway says bye (${code}).`));
    client.on("error", ({ code, message }) => notice(this, `${code}: ${message}`, "bad"));
    client.on("subscribed", ({ room, offset }) => {
      if (rooms.has(room)) return;
      notice(this, `${room}: subscribed by the gateway, at #${offset}.`);
      addRoom(room);
    });
    this.setState("connecting", "Connecting …");
    for (const room of rooms) this.subscribe(room);
  }
  disconnect() {
    const client = this.client;
    this.client = null;
    this.subscriptions.clear();
    this.lost = undefined;
    clearInterval(this.countdown);
    client.close();
    this.setState("off", "Not connected");
    notice(this, "Disconnected. Connect again to go on from here.");
  }
  onState(state, reconnectIn, attempt) {
    if (!this.client) return;
    clearInterval(this.countdown);
    if (state === "open") {
      this.setState("open", "Connected");
    } else if (state === "connecting") {
      this.setState("connecting", "Connecting …");
    } else if (state === "idle") {
      this.setState("idle", "Waiting for a room");
    } else if (state === "waiting") {
      const due = Date.now() + reconnectIn;
      const tick = () => setText(this.status, `Try ${attempt || 1} in ${Math.max(0, Math.ceil((due - Date.now()) / 1000))} s`);
      this.setState("waiting", "");
      tick();
      this.countdown = setInterval(tick, 200);
    }
  }
  onClose(code, reason, reconnectIn) {
    if (!this.client) return;
    const why = code === 1006 ? "Connection lost." : `Closed with ${code}${reason ? ": " + reason : ""}.`;
    if (reconnectIn === null) {
      this.client = null;
      this.subscriptions.clear();
      this.lost = undefined;
      this.setState("stopped", "Closed by the gateway");
      notice(this, why + " Not reconnecting.", "bad");
    } else if (this.lost === false) {     // once, not for each try
      this.lost = true;
      notice(this, why + " Reconnecting.", "bad");
    }
  }

  subscribe(room) {
    if (!this.client || this.subscriptions.has(room)) return;
    const subscription = this.client.subscribe(room, {
      message: (message) => this.onMessage(message),
      subscribed: ({ offset, recovered }) => {
        this.joined.add(room);
        const missed = offset - (subscription.position?.offset ?? offset);
        if (recovered) notice(this, `${room}: resumed (recovered: true), ${missed || "nothing"} to catch up.`, "good");
        renderRooms();
        askPresence();
      },
      lost: ({ since, offset, missed, reason }) => notice(this, `${room}: history was lost after #${since.offset}, ` +
        `${missed ? `${missed} messages ` : ""}${LOSSES[reason]}. Live from #${offset + 1}.`, "bad"),
      unsubscribed: ({ code }) => {
        notice(this, `${room}: unsubscribed by the gateway (${code}).`, "bad");
        removeRoom(room);
      },
      join: ({ user }) => this.onPresence(`${user} joined ${room}.`),
      leave: ({ user }) => this.onPresence(`${user} left ${room}.`),
      error: ({ code, message }) => {
        notice(this, `${room}: ${code}: ${message}`, "bad");
        if (!subscription.active) this.subscriptions.delete(room);
      },
    }, { last: LAST });
    this.subscriptions.set(room, subscription);
  }
  unsubscribe(room) {
    this.subscriptions.get(room)?.unsubscribe();
    this.subscriptions.delete(room);
    this.positions.delete("fanfare:" + room);
    this.shown.delete(room);
    this.joined.delete(room);
  }
  onMessage(message) {
    const { room, epoch, offset } = message, before = this.shown.get(room);
    if (offset !== undefined) {
      if (before?.epoch === epoch && offset <= before.offset) this.count("duplicates");
      this.shown.set(room, { epoch, offset });
    }
    this.count("received");
    show(this, message);
  }
  onPresence(text) {
    notice(this, text);
    askPresence();
  }
}

// ---- rooms ----

const rooms = new Set(["lobby"]);
const chips = new Map();    // room → its elements, changed in place so that focus stays
let links = [];

function roomFault(name) {
  if (!name || new TextEncoder().encode(name).length > 255) return "A room's name has 1 to 255 bytes.";
  if (/[\0-\x1f\x7f-\x9f*]|^@/.test(name)) return "No control characters, no *, no @ at the beginning.";
  if (rooms.has(name)) return `Already subscribed to ${name}.`;
  return rooms.size < 32 ? "" : "At most 32 rooms in one stream.";
}
function addRoom(name) {
  if (rooms.has(name)) return;
  rooms.add(name);
  renderRooms();
  for (const link of links) link.subscribe(name);
}
function removeRoom(name) {
  if (!rooms.delete(name)) return;
  for (const link of links) link.unsubscribe(name);
  renderRooms();
  askPresence();
}
function addChip(name) {
  const cross = el("button", "", "✕");
  cross.setAttribute("aria-label", "Unsubscribe from " + name);
  cross.onclick = () => { $("room").focus(); removeRoom(name); };
  const marks = links.map((link) => badge(link, el("span", "sr", "")));
  const chip = { marks, node: el("li", "chip", el("strong", "", name), ...marks, cross), option: new Option(name) };
  chips.set(name, chip);
  $("rooms").append(chip.node);
  $("to").append(chip.option);
}
function renderRooms() {
  if (links.length === 0) return;
  for (const [name, { node, option }] of chips)
    if (!rooms.has(name)) {
      node.remove();
      option.remove();
      chips.delete(name);
    }
  for (const name of rooms) {
    if (!chips.has(name)) addChip(name);
    links.forEach((link, i) => {
      const mark = chips.get(name).marks[i], on = link.joined.has(name);
      mark.classList.toggle("on", on);
      setText(mark.lastChild, on ? " subscribed" : " not subscribed");
    });
  }
  $("send").disabled = links[0].client?.state !== "open";
  showCommand();
}
$("join").onsubmit = (event) => {
  event.preventDefault();
  const name = $("room").value.trim(), fault = roomFault(name);
  if (fault) return say("join-result", fault, "bad");
  say("join-result", links.some((link) => link.client) ? "" : "Takes effect when you connect.");
  addRoom(name);
  $("to").value = name;
  $("room").value = "";
  showCommand();
};

// ---- presence ----

let asking;
function askPresence() {
  clearTimeout(asking);
  asking = setTimeout(showPresence, 150);
}
async function showPresence() {
  const [{ client, joined }] = links;
  const lines = await Promise.all([...joined].map(async (room) => {
    try {
      const { members, total } = await client.presence(room);
      const parts = members.slice(0, 50).map(({ user, sessions }) => sessions > 1 ? `${user} (${sessions} sessions)` : user);
      if (members.length > 50) parts.push(members.length - 50 + " more");
      if (total > members.length) parts.push(total - members.length + (members.length < 1000 ? " anonymous" : " not listed"));
      return `${room}: ${parts.join(", ") || "nobody"}`;
    } catch (error) {
      return `${room}: ${error.message}`;
    }
  }));
  if (lines.length === 0) lines.push("–");
  if ($("members").innerText !== lines.join("\n")) $("members").replaceChildren(...lines.map((line) => el("li", "", line)));
}
setInterval(() => { if (!document.hidden) askPresence(); }, 4000);

// ---- publish ----

// What the form says, for the WebSocket and for curl.
function publication() {
  const text = $("text").value, object = text.trim().startsWith("{") && parse(text);
  const fields = { room: $("to").value || "lobby", data: object || { text } };
  if ($("event").value) fields.event = $("event").value;
  if ($("ephemeral").checked) fields.ephemeral = true;
  return fields;
}
$("publish").onsubmit = async (event) => {
  event.preventDefault();
  const sent = now(), { room, data, ...options } = publication();
  Object.assign(data, { sent: Math.round(sent * 1000) / 1000, page: PAGE });
  try {
    const { offset } = await links[0].client.publish(room, data, options);
    say("publish-result", `Published to ${room}${offset ? " as #" + offset : ""}, confirmed in ${(now() - sent).toFixed(1)} ms.`, "good");
  } catch (error) {
    say("publish-result", `${error.code ?? "error"}: ${error.message}`, "bad");
  }
};

// ---- the commands ----

function showCommand() {
  const quoted = (text) => "'" + text.replaceAll("'", "'\\''") + "'", key = $("key").value.trim();
  const fields = publication();
  setText($("command"), [
    "curl -X POST " + quoted(location.origin + "/api/v1/publish"),
    "-H " + (key ? quoted("X-API-Key: " + key) : '"X-API-Key: $FANFARE_API_KEY"'),
    "-H 'Content-Type: application/json'",
    "-d " + quoted(JSON.stringify(fields))].join(" \\\n  "));
  setText($("module"), `import { connect } from ${JSON.stringify(location.origin + "/fanfare.js")};\n\n` +
    `const client = connect(${JSON.stringify(location.origin)});\n` +
    `client.subscribe(${JSON.stringify(fields.room)}, ({ data }) => console.log(data), { last: ${LAST} });`);
}
for (const id of ["key", "text", "to", "event", "ephemeral"]) $(id).addEventListener("input", showCommand);

for (const button of document.querySelectorAll("[data-copy]"))
  button.onclick = async () => {
    const source = $(button.dataset.copy), result = button.nextElementSibling;
    let copied = true;
    try {
      await navigator.clipboard.writeText(source.textContent);
    } catch {
      // No clipboard, or not allowed: select the text and copy the selection.
      getSelection().selectAllChildren(source);
      copied = document.execCommand("copy");
    }
    setText(result, copied ? "Copied." : "Selected: copy it with the keyboard.");
    setTimeout(() => setText(result, ""), 3000);
  };
$("clear").onclick = () => {
  rows = [];
  list.replaceChildren();
  $("empty").hidden = false;
};

$("logo").src = document.querySelector("link[rel=icon]").href;
links = [new Link("ws", "websocket", "WebSocket", "/ws"), new Link("sse", "sse", "Server-Sent Events", "/sse")];
renderRooms();
showPresence();
