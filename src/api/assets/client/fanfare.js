// Fanfare's client: one ES module, for browsers and Node.js (18 or later), without dependencies.
//
//   import { connect } from "/fanfare.js";
//   const client = connect();
//   client.subscribe("news", (message) => console.log(message.data));
//
// What it takes off your hands: tokens and their refresh, reconnecting, and going on in every room
// exactly where you were. Types and the meaning of every option: fanfare.d.ts; guide: docs/clients.md.
//
// How it is built: a Core holds what outlives connections (rooms, positions, requests) and one link,
// which is a connection: SocketLink (WebSocket) or StreamLink (SSE over fetch). A second link, the
// candidate, may be opened beside it; when it is ready it takes over, and the rooms go on from their
// positions, so changing rooms, token or transport of a stream loses nothing.

const SUBPROTOCOL = "fanfare.json.v1";
const STREAM_ROOMS_MAX = 32;        // rooms in one SSE stream (protocol.md)
const TIMER_MAX = 2 ** 31 - 1;      // longer ones fire at once
const DAY = 86_400_000;
const WAITING_MAX = 100;            // requests that wait for a connection
const IN_FLIGHT_MAX = 1000;
const SUBSCRIBE_BURST = 50;         // resubscribes in one second: the gateway limits messages, too
const STREAM_LINE_MAX = 16 * 2 ** 20;

// The close-code table of protocol.md. All others mean: come back and resume.
const STAY_AWAY = new Set([1002, 1003, 1007, 1009, 4400, 4403, 4429]);
const TOKEN_REFUSED = 4401;
const STREAM_END = { drain: 1001, expired: TOKEN_REFUSED, disconnected: 4403, slow_consumer: 4408 };
// A subscribe that failed with one of these may work later.
const TRY_AGAIN = new Set(["rate_limited", "unavailable", "internal"]);

const monotonic = () => performance.now();
const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
const sameList = (a, b) => a?.length === b?.length && a.every((item, i) => item === b[i]);
const isOffset = (value) => Number.isSafeInteger(value) && value >= 0;
const text = (value) => (typeof value === "string" ? value : "");

function parseObject(json) {
  try {
    const value = JSON.parse(json);
    return isObject(value) ? value : null;
  } catch {
    return null;
  }
}

/** What is rejected and reported. `code` is one of protocol.md's, or one of the client's own. */
export class FanfareError extends Error {
  constructor(code, message, cause) {
    super(message || code);
    this.name = "FanfareError";
    this.code = code;
    if (cause !== undefined) this.cause = cause;
  }
}
const about = (room, error) => (room ? Object.assign(error, { room }) : error);

/** How long to wait before try number `attempt` (from 0): 3 s, 6 s, 12 s … 60 s, give or take half. */
export function backoffDelay(attempt, { min = 3000, max = 60_000, jitter = 0.5 } = {}, random = Math.random) {
  const wait = Math.min(max, min * 2 ** Math.min(attempt, 30));
  return wait * (1 + jitter * (2 * random() - 1));
}

/** A timeout that can be set again, may be longer than 24 days, and is never early (Node's are, when busy). */
class Timer {
  #handle;
  isSet = false;
  set(ms, act) {
    this.clear();
    this.isSet = true;
    const due = monotonic() + Math.max(0, ms || 0);
    const sleep = (left) => {
      this.#handle = setTimeout(() => {
        const more = due - monotonic();
        if (more >= 1) return sleep(more);
        this.isSet = false;
        act();
      }, Math.min(left, TIMER_MAX));
    };
    sleep(due - monotonic());
  }
  clear() {
    clearTimeout(this.#handle);
    this.isSet = false;
  }
}

// ---- addresses and tokens ----

function baseAddress(url) {
  const here = globalThis.location?.href;
  if (url === undefined && !here) throw new TypeError("connect() needs the gateway's URL outside of a browser");
  const base = new URL(url === undefined ? new URL(here).origin : String(url), here);
  base.protocol = { "ws:": "http:", "wss:": "https:" }[base.protocol] ?? base.protocol;
  if (!/^https?:$/.test(base.protocol)) throw new TypeError(`connect() cannot speak ${base.protocol}`);
  base.hash = "";
  base.pathname = base.pathname.replace(/\/(ws|sse)?$/, "") + "/";    // the endpoint itself is taken, too
  return base;
}

/** The claims of a JWT, unchecked: only to know in time that it will expire. */
function claimsOf(token) {
  try {
    const part = token.split(".")[1].replace(/-/g, "+").replace(/_/g, "/");
    return JSON.parse(new TextDecoder().decode(Uint8Array.from(atob(part), (c) => c.charCodeAt(0)))) ?? {};
  } catch {
    return {};
  }
}

function within(ms, promise, what) {
  const timer = new Timer();
  const late = new Promise((_, reject) => timer.set(ms, () => reject(new FanfareError("timeout", what))));
  return Promise.race([promise, late]).finally(() => timer.clear());
}

// ---- positions that outlive the page ----

/** Writes positions into something shaped like localStorage: now and then, never ahead of the app. */
class Positions {
  #storage; #prefix; #report;
  #dirty = new Map();
  #timer = new Timer();
  constructor(storage, prefix, report) {
    this.#storage = storage;
    this.#prefix = prefix;
    this.#report = report;
  }
  load(room) {
    try {
      const kept = parseObject(this.#storage?.getItem(this.#prefix + room) ?? "null");
      if (kept && text(kept.epoch) && isOffset(kept.offset)) return { epoch: kept.epoch, offset: kept.offset };
    } catch (error) {
      this.#report(error);
    }
    return null;
  }
  keep(room, epoch, offset) {
    if (!this.#storage) return;
    this.#dirty.set(room, { epoch, offset });
    if (!this.#timer.isSet) this.#timer.set(1000, () => this.flush());
  }
  flush() {
    this.#timer.clear();
    for (const [room, position] of this.#dirty) {
      try {
        this.#storage.setItem(this.#prefix + room, JSON.stringify(position));
      } catch (error) {     // full, or forbidden: the page still works
        this.#report(error);
      }
    }
    this.#dirty.clear();
  }
}

// ---- rooms ----

/** One call of subscribe(). */
class Subscription {
  #room; #core; #entry;
  constructor(core, room, entry) {
    this.#core = core;
    this.#room = room;
    this.#entry = entry;
    this.ready = new Promise((resolve, reject) => Object.assign(entry, { resolve, reject }));
    this.ready.catch(() => {});     // those who do not look are told by the callback `error`
  }
  get room() { return this.#room.isPattern ? undefined : this.#room.name; }
  get pattern() { return this.#room.isPattern ? this.#room.name : undefined; }
  get active() { return this.#room.entries.has(this.#entry); }
  get position() { return this.#room.position; }
  unsubscribe() { this.#core.unsubscribe(this.#room, this.#entry); }
}

/**
 * A room (or pattern) that somebody here subscribed to: one subscription on the wire, any number of
 * listeners, and the place in the room, which survives connections.
 *
 * The place is `epoch` and `offset` of the last message whose callbacks have returned. `offset` is
 * null while nothing of a first replay (`last`) was shown.
 */
class Room {
  entries = new Set();
  joined = false;         // on the present link
  joining = false;
  notBefore = 0;          // when a refused subscribe may be tried again
  refusals = 0;
  epoch = null;
  offset = null;
  newest = null;          // the room's newest when it was joined last: what is not above was replayed
  joinedAt = 0;
  floor = 0;              // what a first replay was to begin after
  acked = null;           // of the inbox: what the user has acknowledged, as far as we know
  complained = false;     // said that this transport does not carry it
  constructor(core, name, isPattern, { last, since, device }) {
    Object.assign(this, { core, name, isPattern, last: last ?? 0, device });
    this.isInbox = name.startsWith("@");
    if (since) Object.assign(this, { epoch: since.epoch, offset: since.offset });
  }

  get position() {
    return this.offset === null ? null : { epoch: this.epoch, offset: this.offset };
  }
  /** From where to go on, or null to begin as the first time. */
  get resumePoint() {
    if (this.offset !== null || this.epoch === null) return this.position;
    // A replay was asked for and nothing was shown. If the connection died in the middle of it, ask
    // again; if it had its time, there was nothing to replay.
    return monotonic() - this.joinedAt < 5000 ? null : { epoch: this.epoch, offset: this.newest };
  }

  each(name, value, only = this.entries) {
    for (const entry of [...only])
      if (this.entries.has(entry)) this.core.callBack(entry.handlers[name], value);
  }

  /**
   * The gateway says that the room is joined. `asked` is the position that was asked for, `recovered`
   * the answer; without an answer (a stream with other rooms) the offsets of what comes will tell.
   */
  accept({ epoch, offset: newest, recovered, acked }, asked) {
    if (this.isPattern) return this.#ready({ pattern: this.name });
    const begin = this.isInbox && isOffset(acked) ? acked : null;
    const known = epoch === this.epoch ? this.acked : null;
    if (begin !== null) this.acked = Math.max(begin, known ?? 0);
    const before = { epoch: this.epoch, newest: this.newest };
    this.newest = newest;
    this.joinedAt = monotonic();
    const from = this.position ?? asked;      // the old stream may have gone on since it was asked
    if (from && (recovered === false || (recovered === undefined && from.epoch !== epoch))) {
      // The first life of an inbox may begin more than once: nothing was in it that could be lost.
      if (!this.isInbox || from.offset > 0)
        this.#lose(from.epoch === epoch ? "trimmed" : "epoch", from, epoch, newest);
      // Of an inbox, what is not acknowledged follows all the same.
      if (this.isInbox) Object.assign(this, { epoch, offset: begin, floor: 0 });
    } else if (from) {
      Object.assign(this, from);
    } else if (begin !== null && this.last === 0) {
      Object.assign(this, { epoch, offset: begin });     // what is not acknowledged follows
    } else if (this.last > 0 || this.isInbox) {
      Object.assign(this, { epoch, offset: null });
      if (recovered !== true) this.floor = this.isInbox ? 0 : Math.max(0, newest - this.last);
      // The second try of a first replay: did more come meanwhile than it brings?
      if (before.newest !== null && (before.epoch !== epoch || this.floor > before.newest))
        this.#lose(before.epoch === epoch ? "trimmed" : "epoch", { epoch: before.epoch, offset: before.newest },
          epoch, this.floor, true);
    } else {
      Object.assign(this, { epoch, offset: newest });
      this.#keep();
    }
    this.#ready({ room: this.name, epoch, offset: newest, recovered, ...(begin !== null && { acked: begin }) });
    // Said to others while we were away.
    if (known !== null && begin > known) this.core.tellAcked(this, begin);
  }
  #ready(answer) {
    this.joined = true;
    this.joining = false;
    this.refusals = 0;
    for (const entry of this.entries) entry.resolve(answer);
    this.each("subscribed", answer);
    this.core.emit("subscribed", answer);
    this.core.flush();
  }

  /** Continuity is lost: say it once, go on after `offset`. */
  #lose(reason, since, epoch, offset, replaying = false) {
    if (!replaying) Object.assign(this, { epoch, offset });
    const missed = since.epoch === epoch ? Math.max(0, offset - since.offset) : null;
    const loss = { room: this.name, reason, since, epoch, offset, missed };
    this.#keep();
    this.each("lost", loss);
    this.core.emit("lost", loss);
  }
  reset(epoch, offset) {
    if (!this.joined) return;
    this.newest = offset;
    if (this.isInbox) this.acked = 0;
    this.#lose("reset", { epoch: this.epoch, offset: this.offset ?? offset }, epoch, offset);
  }
  /** A stream that did not ask by cursor has had time for its replay, and nothing came. */
  missReplay() {
    if (this.offset !== null && this.newest > this.offset && !this.isInbox)
      this.#lose("trimmed", this.position, this.epoch, this.newest);
  }

  message(message) {
    const { offset } = message;
    if (!this.joined) return;     // of an earlier subscription
    if (offset !== undefined) {
      if (offset <= (this.offset ?? this.floor)) return;     // seen, or not asked for
      // The first of a replay may be anything up to the newest.
      const next = this.offset === null ? this.newest + 1 : this.offset + 1;
      if (offset > next && !this.isInbox)
        this.#lose("trimmed", { epoch: this.epoch, offset: next - 1 }, this.epoch, offset - 1);
      message.epoch = this.epoch;
      message.replayed = offset <= this.newest;
    }
    for (const entry of [...this.entries]) {
      if (entry.waiting) entry.waiting.push(message);
      else if (this.entries.has(entry)) this.core.callBack(entry.handlers.message, message);
    }
    if (!message.replayed) this.core.forPatterns(message);
    this.core.emit("message", message);
    if (offset !== undefined) {
      this.offset = offset;
      this.#keep();
    }
  }
  #keep() {
    // What is remembered of an inbox is what was acknowledged, and the gateway remembers it.
    if (this.offset !== null && !this.isInbox && this.core.rooms.get(this.name) === this)
      this.core.positions.keep(this.name, this.epoch, this.offset);
  }

  /**
   * A later subscription to a room that is live: what it wants of the past comes by `history`, and
   * what arrives meanwhile waits, so that its callback sees one order, too.
   */
  async catchUp(entry, { last, since }) {
    entry.waiting = [];
    let seen = since ? since.offset : undefined;
    try {
      for (let more = true; more && this.entries.has(entry);) {
        const fields = since
          ? { since: { epoch: since.epoch, offset: seen }, limit: 1000 }
          : { limit: Math.min(last, 1000) };
        const page = await this.core.request("history", { room: this.name, ...fields });
        const messages = Array.isArray(page.messages) ? page.messages.filter((one) => isOffset(one?.offset)) : [];
        const first = messages[0]?.offset ?? page.offset + 1;
        if (since && (page.epoch !== since.epoch || (first > seen + 1 && !this.isInbox))) {
          const offset = first - 1;
          this.each("lost", { room: this.name, reason: page.epoch === since.epoch ? "trimmed" : "epoch", since,
            epoch: page.epoch, offset, missed: page.epoch === since.epoch ? offset - seen : null }, [entry]);
          since = { epoch: page.epoch, offset };
        }
        for (const message of messages)
          this.each("message", toPastMessage(this.name, page.epoch, message), [entry]);
        seen = messages.at(-1)?.offset ?? seen ?? page.offset;
        more = Boolean(since) && page.more === true && messages.length > 0;
      }
    } catch (error) {
      this.core.report(error, entry);
    }
    const waited = entry.waiting;
    entry.waiting = null;
    for (const message of waited)
      if (!(message.offset <= seen)) this.each("message", message, [entry]);
  }

  /** The gateway cannot carry it now: says so, and is joined again after `wait`. */
  pause(error, wait) {
    this.joined = this.joining = false;
    this.notBefore = monotonic() + wait;
    for (const entry of [...this.entries]) this.core.report(error, entry);
  }

  /** Ends subscriptions for good, and says why. */
  end(error, name = "error") {
    this.core.drop(this);
    const entries = [...this.entries];
    this.entries.clear();
    for (const entry of entries) {
      entry.reject(error);
      if (name === "error") this.core.report(error, entry);
      else this.core.callBack(entry.handlers[name], { room: this.name, code: error.code, message: error.message });
    }
  }
}

function toMessage(frame, more) {
  const { op, ...message } = frame;
  if (!isOffset(message.offset)) delete message.offset;
  return Object.assign(message, { ephemeral: message.offset === undefined, replayed: false }, more);
}

const toPastMessage = (room, epoch, frame) => toMessage({ room, ...frame }, { epoch, replayed: true });

/** Whether a pattern, in which * is any run of characters, fits a name. */
function matches(pattern, name) {
  const [head, ...parts] = pattern.split("*");
  const tail = parts.pop();
  if (!name.startsWith(head) || name.startsWith("@")) return false;
  let at = head.length;
  for (const part of parts) {
    at = name.indexOf(part, at);
    if (at < 0) return false;
    at += part.length;
  }
  return name.length - tail.length >= at && name.endsWith(tail);
}

// ---- WebSocket ----

class SocketLink {
  kind = "websocket";
  isOpen = false;
  session = null; user = null; node = null; expires = undefined;
  heartbeat = 30_000;
  burst = SUBSCRIBE_BURST; burstMax = SUBSCRIBE_BURST; slowed = false;
  #core; #ws; #token;
  #dead = false;
  #why = "";
  #pending = new Map();     // id → { op, request or done }
  #lastId = 0;
  #heard = 0;
  #timer = new Timer();

  constructor(core, token) {
    this.#core = core;
    this.#token = token;
  }
  get inFlight() { return this.#pending.size; }

  open() {
    // Some proxies take the upgrade and then pass nothing on: open is who was welcomed.
    this.#timer.set(this.#core.connectTimeout, () => this.fail("no answer"));
    let ws;
    try {
      ws = this.#ws = new this.#core.WebSocket(this.#core.address("ws"), SUBPROTOCOL);
    } catch (error) {
      this.#timer.set(0, () => this.#end(1006, error.message));
      return;
    }
    ws.onmessage = ({ data }) => {
      if (this.#dead) return;
      this.#heard = monotonic();
      const frame = typeof data === "string" ? parseObject(data) : null;
      if (frame) this.#frame(frame);
    };
    ws.onerror = (event) => { this.#why = text(event?.message); };    // `close` follows
    ws.onclose = ({ code, reason }) => this.#end(code || 1006, text(reason) || this.#why);
  }

  #frame(frame) {
    const { id, op } = frame;
    if (op === "ok" || op === "pong" || op === "error") {
      const pending = this.#pending.get(id);
      if (!pending) {
        if (op === "error") this.#core.report(errorOf(frame));
        return;
      }
      this.#pending.delete(id);
      pending.done(op === "error" ? errorOf(frame) : null, frame);
    } else if (op === "welcome") {
      if (this.isOpen || this.session !== null) return;
      this.session = text(frame.session);
      this.node = text(frame.node);
      this.user = text(frame.user) || null;
      this.expires = frame.expires;
      if (frame.heartbeat > 0) this.heartbeat = Math.min(frame.heartbeat * 1000, DAY);
      if (!this.#token) return this.#opened();
      // In-band, because URLs end up in logs.
      this.send("auth", { token: this.#token }, (error, reply) => {
        if (!error) {
          this.user = text(reply.user) || null;
          this.expires = reply.expires;
          this.#opened();
        } else if (error.code !== "unauthorized") {     // for that one a close with 4401 follows
          this.fail(error.message);
        }
      });
    } else {
      this.#core.push(this, text(op), frame);
    }
  }
  #opened() {
    this.isOpen = true;
    this.#core.opened(this);
    if (!this.#dead) this.#watch();
  }

  /** Sends one request; `done(error, reply)` is called when the reply comes, never if it does not. */
  send(op, fields, done, request) {
    const id = ++this.#lastId, frame = JSON.stringify({ id, op, ...fields });
    this.#pending.set(id, { op, done, request });
    try {
      this.#ws.send(frame);
    } catch (error) {
      this.#timer.set(0, () => this.fail(error.message));
    }
  }

  /** A dead connection makes no sound. Silent for a heartbeat: ask. For another one: it is gone. */
  #watch() {
    const quiet = monotonic() - this.#heard;
    if (quiet < this.heartbeat) {
      this.#timer.set(this.heartbeat - quiet + 1, () => this.#watch());
    } else {
      this.check(this.heartbeat);
    }
  }
  check(patience) {
    if (!this.isOpen || this.#dead) return;
    const asked = monotonic();
    let answered = false;
    this.send("ping", {}, () => { answered = true; });
    this.#timer.set(patience, () => {
      if (answered) this.#watch();
      else if (this.#heard < asked) this.fail("the gateway is silent");
      else this.check(patience);      // what was heard may have been on its way before: ask once more
    });
  }

  /** The connection is no use: as if it had been lost. */
  fail(reason) {
    this.#terminate(true);
    this.#end(1006, reason);
  }
  close() {
    this.#dead = true;
    this.#timer.clear();
    this.#terminate(false);
  }
  #terminate(now) {
    const ws = this.#ws;
    try {
      ws?.close(1000);
      // Node's `ws` waits long for a peer that does not answer. Browsers do not ask us.
      if (typeof ws?.terminate === "function") setTimeout(() => ws.terminate(), now ? 0 : 2000).unref?.();
    } catch { /* was not open */ }
  }
  #end(code, reason) {
    if (this.#dead) return;
    this.#dead = true;
    this.#timer.clear();
    this.#core.ended(this, { code, reason });
  }
  takeRequests() {
    const requests = [...this.#pending.values()].map(({ request }) => request).filter((one) => one && !one.settled);
    this.#pending.clear();
    return requests;
  }
}

const errorOf = ({ code, message, room }) =>
  about(text(room), new FanfareError(text(code) || "internal", text(message)));

// ---- Server-Sent Events, read with fetch ----
// An EventSource hears only the event names it was told, sets no headers and hides the status.

/** The stream format of WHATWG HTML; calls `dispatch({id, event, data, retry})` and `comment()`. */
class EventParser {
  #decoder = new TextDecoder();     // drops one leading BOM, as it should
  #rest = "";
  #event = {};
  constructor(dispatch, comment) {
    Object.assign(this, { dispatch, comment });
  }
  push(bytes) {
    const all = this.#rest + this.#decoder.decode(bytes, { stream: true });
    const end = all.length - (all.endsWith("\r") ? 1 : 0);      // may be half of a CRLF
    const lines = all.slice(0, end).split(/\r\n|\r|\n/);
    this.#rest = lines.pop() + all.slice(end);
    if (this.#rest.length > STREAM_LINE_MAX) throw new Error("an endless line");
    for (const line of lines) this.#line(line);
  }
  #line(line) {
    if (line === "") {
      const event = this.#event;
      this.#event = {};
      return this.dispatch(event);
    }
    const colon = line.indexOf(":");
    if (colon === 0) return this.comment();
    const name = colon < 0 ? line : line.slice(0, colon);
    let value = colon < 0 ? "" : line.slice(colon + 1);
    if (value.startsWith(" ")) value = value.slice(1);
    if (name === "data") this.#event.data = "data" in this.#event ? `${this.#event.data}\n${value}` : value;
    else if (name === "event") this.#event.event = value;
    else if (name === "id" && !value.includes("\0")) this.#event.id = value;
    else if (name === "retry" && /^\d+$/.test(value)) this.dispatch({ retry: Number(value) });
  }
}

const STREAM_OPS = new Set(["reset", "join", "leave", "subscribed", "unsubscribed", "acked"]);

class StreamLink {
  kind = "sse";
  isOpen = false;
  session = null; user = null; node = null; expires = undefined;
  inFlight = 0;
  #core; #token; #cursor; #beside; #replay;
  #abort = new AbortController(); #reader;
  #dead = false;
  #timer = new Timer();
  #end = { code: 1006, reason: "the stream ended" };
  #retry;
  #lastComment = 0;
  #foreign = false;
  #hasLast = false;

  /**
   * `beside`: there is a stream that lives until this one takes over. `replay`: how many messages of
   * each room to ask for, where no cursor names the exact place; `tries`: how often that was too few.
   */
  constructor(core, token, rooms, cursor, { beside, replay = 100, tries = 0 }) {
    this.#core = core;
    this.#token = token;
    this.#cursor = cursor;
    this.#beside = beside;
    this.#replay = replay;
    this.tries = tries;
    this.rooms = rooms;                             // in the order of the URL
    const { sub, exp } = claimsOf(token ?? "");
    this.user = text(sub) || null;
    this.expires = exp;
  }
  /** A cursor belongs to the list of rooms that it came with. */
  get cursor() { return { rooms: this.rooms, id: this.#foreign ? undefined : this.#cursor }; }
  /** The gateway took a room out: the stream goes on, but its cursors are not those of the rooms left. */
  forget(room) {
    this.#foreign ||= this.rooms.includes(room);
    this.rooms = this.rooms.filter((one) => one !== room);
  }

  async open() {
    this.#timer.set(this.#core.connectTimeout, () => this.fail("no answer"));
    try {
      await this.#read();
    } catch (error) {
      this.#end.reason = error.message;
    }
    this.#finish();
  }

  #url() {
    const query = this.rooms.map(({ name }) => ["room", name]);
    const wishes = this.rooms.map((room) => (room.resumePoint ? this.#replay : room.last));
    let last = this.#cursor ? 0 : Math.max(0, ...wishes);
    // It is one number for all rooms. An inbox that begins would have begun with what is not
    // acknowledged; now that has to be among its newest.
    const beginsUnread = (room) => room.isInbox && room.last === 0 && room.resumePoint === null;
    if (last > 0 && this.rooms.some(beginsUnread)) last = Math.max(last, this.#replay);
    if (last > 0) query.push(["last", Math.min(last, 0xffffffff)]);
    this.#hasLast = last > 0;
    const device = this.rooms.find((room) => room.device)?.device;
    if (device) query.push(["device", device]);
    return this.#core.address("sse", query);
  }
  #headers() {
    const headers = { Accept: "text/event-stream" };
    if (this.#cursor) headers["Last-Event-ID"] = this.#cursor;
    if (this.#token) headers.Authorization = "Bearer " + this.#token;
    return headers;
  }

  async #read() {
    const asked = new Map(this.rooms.map((room) => [room, room.resumePoint]));
    const options = { headers: this.#headers(), signal: this.#abort.signal, cache: "no-store" };
    const response = await this.#core.fetch(this.#url(), options);
    if (this.#dead) return;
    if (response.status !== 200) return this.#refused(response);
    if (!/^text\/event-stream\b/i.test(response.headers.get("Content-Type") ?? ""))
      throw new Error("not an event stream: is this a Fanfare gateway?");
    const parser = new EventParser((event) => this.#event(event, asked), () => this.#comment());
    const reader = (this.#reader = response.body.getReader());
    for (;;) {
      const { done, value } = await reader.read();
      if (done || this.#dead) return;
      if (this.isOpen) this.#watch();
      parser.push(value);
    }
  }

  #event({ id, event, data, retry }, asked) {
    if (this.#dead) return;
    if (retry !== undefined) this.#retry = retry;
    const fields = data === undefined ? null : parseObject(data);
    if (event === "ready" && fields && !this.isOpen) {
      const rooms = isObject(fields.rooms) ? fields.rooms : {};
      const missing = this.#cursor ? 0 : this.#missing(rooms, asked);
      if (missing > this.#replay && this.#core.askForMore(this, missing)) return;
      if (id) this.#cursor = id;
      this.session = text(fields.session);
      this.isOpen = true;
      this.#core.opened(this);
      for (const room of this.rooms) {
        const answer = Object.hasOwn(rooms, room.name) ? rooms[room.name] : null;
        if (this.#dead || !isObject(answer) || !text(answer.epoch) || !isOffset(answer.offset)) continue;
        if (room.entries.size > 0) room.accept(answer, asked.get(room));
      }
      if (!this.#dead) this.#watch();
      return;
    }
    if (fields && this.isOpen && event === "error") {
      this.#end.room = text(fields.room);     // `bye` follows
      this.#end.error = errorOf(fields);
    } else if (fields && event === "bye") {
      this.#end.code = STREAM_END[fields.code] ?? 1006;
      if (this.#end.error) this.#end.code = 1006;     // not sent away: that room could not be joined
      this.#end.reason = text(fields.message);
      this.#core.push(this, "bye", fields);
    } else if (fields && this.isOpen) {
      this.#core.push(this, STREAM_OPS.has(event) ? event : "message", fields);
    }
    // Only now: a cursor stands behind what was processed.
    if (id !== undefined) this.#cursor = id || undefined;
  }

  /** The most that one of the rooms has to catch up. */
  #missing(answers, asked) {
    const of = (room) => {
      const answer = Object.hasOwn(answers, room.name) ? answers[room.name] : null;
      let from = room.position ?? asked.get(room);
      const unread = room.isInbox && (from ? from.epoch !== answer?.epoch : room.last === 0);
      if (unread && this.#hasLast && isOffset(answer?.acked)) from = { epoch: answer.epoch, offset: answer.acked };
      return from && from.epoch === answer?.epoch && isOffset(answer.offset) ? answer.offset - from.offset : 0;
    };
    return Math.max(0, ...this.rooms.map(of));
  }

  async #refused(response) {
    const body = parseObject(await response.text()) ?? {};
    this.#end = { code: 1006, status: response.status, reason: text(body.detail) || `HTTP status ${response.status}` };
    const after = Number(response.headers.get("Retry-After"));
    if (after > 0) this.#retry = after * 1000;
    if (![400, 401, 403].includes(response.status)) return;
    // With a token it is the token that is bad; without one, a room may need one.
    const mayAsk = this.#core.mayAskForToken && !this.#core.hasAskedInVain && !this.#beside;
    if (response.status === 401 && (this.#token || mayAsk)) {
      this.#end.code = TOKEN_REFUSED;
      return;
    }
    this.#end.refused = this.rooms.length === 1
      ? [[this.rooms[0], problemError(response.status, body)]]
      : await this.#findRefused();
  }
  /** Which of the rooms is it? HEAD asks for the verdict without opening a stream. */
  async #findRefused() {
    const found = [];
    for (const room of this.rooms) {
      if (this.#dead) break;
      const url = this.#core.address("sse", [["room", room.name]]);
      const options = { headers: this.#headers(), signal: this.#abort.signal, cache: "no-store" };
      const verdict = await this.#core.fetch(url, { ...options, method: "HEAD" });
      if (![400, 401, 403].includes(verdict.status)) continue;
      const problem = await this.#core.fetch(url, options);
      if (problem.status === verdict.status)
        found.push([room, problemError(problem.status, parseObject(await problem.text()) ?? {})]);
      else await problem.body?.cancel();
    }
    return found;
  }

  #comment() {
    if (!this.isOpen || this.#dead) return;
    const now = monotonic();
    // Heartbeats come evenly, and tell how long silence is normal; `ready` does not say it.
    if (this.#lastComment) this.#core.learnHeartbeat(now - this.#lastComment);
    else for (const room of this.rooms) if (room.entries.size > 0 && room.joined) room.missReplay();
    this.#lastComment = now;
    if (!this.#dead) this.#watch();     // a callback may have closed
  }
  #watch() {
    this.#timer.set(this.#core.silenceMax, () => this.fail("the gateway is silent"));
  }
  check() { /* A stream cannot ask: its heartbeat has to do. */ }

  fail(reason) {
    this.#end = { code: 1006, reason };
    this.#abort.abort();
    this.#finish();
  }
  close() {
    this.#dead = true;
    this.#timer.clear();
    // Node.js 18 may keep a connection that is aborted while bytes come in; a cancelled body ends it.
    this.#reader?.cancel().catch(() => {});
    this.#abort.abort();
  }
  #finish() {
    if (this.#dead) return;
    this.close();
    this.#core.ended(this, { ...this.#end, retry: this.#retry });
  }
  takeRequests() { return []; }
}

const problemError = (status, { code, detail }) =>
  new FanfareError(text(code) || { 401: "unauthorized", 403: "forbidden" }[status] || "bad_request", text(detail));

// ---- the core ----

const CALLBACKS = new Set(["message", "join", "leave", "subscribed", "lost", "unsubscribed", "acked", "error"]);
const EVENTS = new Set([...CALLBACKS, "state", "open", "close", "bye"]);

class Core {
  rooms = new Map();
  patterns = new Map();
  state = "closed";
  link = null;
  reason = null;                // why it is closed for good
  #base; #options; #transport; #backoff;
  #listeners = new Map();
  #serverRooms = new Map();     // rooms that the API subscribed this session to: name → position
  // connection
  #candidate = null;
  #turn = 0;                    // numbers decisions to connect; what an older one awaited is void
  #attempt = 0;
  #firstWait;                   // the first wait, where it is not `backoff.min`
  #returnAt = null;             // after `bye`, by the monotonic clock
  #byes = 0;                    // in a row, without a stable connection between them
  #triedAt = 0;
  #openedAt = 0;
  #retryTimer = new Timer(); #probeTimer = new Timer(); #byeTimer = new Timer();
  #changeTimer = new Timer(); #pumpTimer = new Timer(); #refreshTimer = new Timer();
  #timers = [this.#retryTimer, this.#probeTimer, this.#byeTimer, this.#changeTimer, this.#pumpTimer,
    this.#refreshTimer];
  // which transport
  #socketFailures = 0;          // handshakes in a row that led to no welcome
  #socketWorked = false;
  #fellBack = false;
  #triedStream = false;         // the last try was one, and failed
  #probeWait;
  #cursor = null;               // of the last stream: { rooms, id }; belongs to this list of rooms
  #echoes = new Map();          // what the old stream delivered without offset while the new one opened
  #commentGap;
  #knownHeartbeat = 30_000;
  // token
  #jwt; #expires; #refusedJwt; #needsFresh = false;
  #refreshMin = 1000;
  // requests that wait for a connection, or for their room
  #waiting = [];

  constructor(url, options) {
    this.#base = baseAddress(url);
    this.#options = options;
    this.#transport = options.transport ?? "auto";
    if (!["auto", "websocket", "sse"].includes(this.#transport))
      throw new TypeError(`transport is "auto", "websocket" or "sse", not ${this.#transport}`);
    this.WebSocket = options.WebSocket ?? globalThis.WebSocket;
    const fetch = options.fetch ?? globalThis.fetch;
    this.fetch = (...parameters) => fetch(...parameters);
    if (this.#transport === "websocket" && !this.WebSocket)
      throw new TypeError("there is no WebSocket here: give one as options.WebSocket");
    this.#backoff = { min: 3000, max: 60_000, jitter: 0.5, stable: 10_000, ...options.backoff };
    this.connectTimeout = options.connectTimeout ?? 10_000;
    this.#probeWait = options.retryWebSocket ?? 300_000;
    this.#jwt = options.token || null;
    this.#expires = claimsOf(this.#jwt ?? "").exp;
    const prefix = options.storagePrefix ?? "fanfare:";
    this.positions = new Positions(options.storage, prefix, (error) => this.report(error));
  }

  address(endpoint, query = []) {
    const url = new URL(endpoint, this.#base);
    url.search = this.#base.search;
    if (endpoint === "ws") url.protocol = url.protocol.replace("http", "ws");
    for (const [name, value] of query) url.searchParams.append(name, value);
    return url.href;
  }

  // -- events and callbacks --

  on(name, listener) {
    if (!EVENTS.has(name)) throw new TypeError(`there is no event ${name}`);
    if (!this.#listeners.has(name)) this.#listeners.set(name, new Set());
    const entry = { listener };
    this.#listeners.get(name).add(entry);
    return () => this.#listeners.get(name).delete(entry);
  }
  emit(name, value) {
    const listeners = this.#listeners.get(name);
    if (listeners) for (const entry of [...listeners]) this.callBack(entry.listener, value, name === "error");
    return Boolean(listeners?.size);
  }
  /** A callback that throws, or whose promise is rejected, disturbs nobody else. */
  callBack(callback, value, last = false) {
    if (!callback) return;
    const report = (error) => {
      if (last) console.error(error);
      else this.report(new FanfareError("callback", `a callback threw: ${error?.message ?? error}`, error));
    };
    try {
      const result = callback(value);
      if (typeof result?.then === "function") result.then(undefined, report);
    } catch (error) {
      report(error);
    }
  }
  report(error, entry) {
    const fault = error instanceof FanfareError ? error : new FanfareError("internal", error?.message, error);
    if (entry?.handlers.error) this.callBack(entry.handlers.error, fault);
    else if (!this.emit("error", fault)) console.error(fault);
  }
  #setState(state, more) {
    if (state === this.state && state !== "waiting") return;
    this.state = state;
    this.emit("state", { state, ...more });
  }

  // -- subscriptions --

  subscribe(target, handlers, options = {}) {
    const isPattern = typeof target === "object" && target !== null;
    const name = isPattern ? target.pattern : target;
    if (typeof name !== "string" || name === "") throw new TypeError("subscribe() takes a room's name or { pattern }");
    if (typeof handlers === "function") handlers = { message: handlers };
    for (const key of Object.keys(handlers ?? {}))
      if (!CALLBACKS.has(key)) throw new TypeError(`subscribe() has no callback ${key}`);
    let { since } = options;
    if (since === undefined && !isPattern && !name.startsWith("@")) since = this.positions.load(name);
    if (since && !(text(since.epoch) && isOffset(since.offset))) throw new TypeError("since is { epoch, offset }");

    const all = isPattern ? this.patterns : this.rooms;
    const known = all.get(name);
    const room = known ?? new Room(this, name, isPattern, { ...options, since });
    const entry = { handlers: { ...handlers } };
    room.entries.add(entry);
    const subscription = new Subscription(this, room, entry);
    if (!known) {
      all.set(name, room);
      this.#roomsChanged();
    } else if (room.joined) {
      const answer = isPattern ? { pattern: name } : { room: name, epoch: room.epoch, offset: room.newest,
        ...(room.acked !== null && { acked: room.acked }) };
      entry.resolve(answer);
      queueMicrotask(() => room.each("subscribed", answer, [entry]));
    }
    // An explicit wish; what is stored was shown to the first subscription.
    if (known && !isPattern && (options.last > 0 || options.since)) room.catchUp(entry, options);
    return subscription;
  }
  unsubscribe(room, entry) {
    if (!room.entries.delete(entry)) return;
    entry.reject(new FanfareError("closed", "unsubscribed"));
    if (room.entries.size > 0) return;
    const wasThere = room.joined || room.joining;
    this.drop(room);
    if (wasThere) this.#socket?.send("unsubscribe", { [room.isPattern ? "pattern" : "room"]: room.name }, () => {});
  }
  drop(room) {
    const all = room.isPattern ? this.patterns : this.rooms;
    if (all.get(room.name) !== room) return;
    all.delete(room.name);
    room.joined = room.joining = false;
    this.#roomsChanged();
    this.flush();
  }
  get #socket() {
    return this.link?.isOpen && this.link.kind === "websocket" ? this.link : null;
  }
  #roomsChanged() {
    if (this.#socket) return this.#pump();
    if (this.state === "closed" || this.state === "waiting") return;
    // The rooms are in the URL: another choice is another stream. Several changes make one.
    this.#changeTimer.set(this.link ? 50 : 0, () => this.#restream());
  }

  /** WebSocket: subscribes what is not subscribed, not faster than the gateway takes it. */
  #pump() {
    const link = this.#socket;
    if (!link) return;
    const now = monotonic();
    let soonest = Infinity;
    for (const room of [...this.rooms.values(), ...this.patterns.values()]) {
      if (room.joined || room.joining) continue;
      if (link.burst === 0 || room.notBefore > now) {
        soonest = Math.min(soonest, link.burst === 0 ? 1000 : room.notBefore - now);
        continue;
      }
      link.burst--;
      this.#join(link, room);
    }
    if (link.burst < link.burstMax && soonest === Infinity) soonest = 1000;
    if (soonest < Infinity && !this.#pumpTimer.isSet)
      this.#pumpTimer.set(soonest, () => {
        if (this.#socket === link) Object.assign(link, { burst: link.burstMax, slowed: false });
        this.#pump();
      });
  }
  #join(link, room) {
    const asked = room.isPattern ? null : room.resumePoint;
    const fields = { [room.isPattern ? "pattern" : "room"]: room.name };
    if (asked) fields.since = asked;
    else if (room.last > 0) fields.last = room.last;
    if (room.device) fields.device = room.device;
    room.joining = true;
    link.send("subscribe", fields, (error, reply) => {
      if (room.entries.size === 0 || link !== this.link) return;
      room.joining = false;
      const known = error?.code === "already_subscribed" ? this.#serverRooms.get(room.name) : null;
      if (known) return room.accept(known, asked);
      if (!error && (room.isPattern || (text(reply.epoch) && isOffset(reply.offset))))
        return room.accept(reply, asked);
      error = about(room.name, error ?? new FanfareError("internal", "an answer without a position"));
      if (!TRY_AGAIN.has(error.code)) return room.end(error);
      if (error.code === "rate_limited") {
        // Too fast for this gateway: half as fast, beginning with the next window.
        if (!link.slowed) link.burstMax = Math.max(1, link.burstMax >> 1);
        link.slowed = true;
        link.burst = 0;
      } else {
        for (const entry of room.entries) this.report(error, entry);
      }
      room.notBefore = monotonic() +
        (error.code === "rate_limited" ? 1000 : backoffDelay(room.refusals++, this.#backoff));
      this.#pumpTimer.clear();
      this.#pump();
    });
  }

  // -- what the gateway sends --

  push(link, op, frame) {
    if (op === "bye") return this.#bye(link, frame);
    if (link !== this.link) return;
    const name = text(frame.room), room = this.rooms.get(name);
    if (!name || this.#isEcho(link, op, frame)) return;
    if (op === "message") {
      if (frame.offset !== undefined && !isOffset(frame.offset)) return;
      const message = toMessage(frame);
      if (room) return room.message(message);
      // Else from a pattern, or from a room that the API chose; or we have just left it.
      if (this.forPatterns(message) || this.#serverRooms.has(name)) this.emit("message", message);
    } else if (op === "join" || op === "leave") {
      const change = { room: name, user: text(frame.user) };
      room?.each(op, change);
      this.emit(op, change);
    } else if (op === "reset" || op === "subscribed") {
      if (!text(frame.epoch) || !isOffset(frame.offset)) return;
      if (op === "reset") return room?.reset(frame.epoch, frame.offset);
      this.#serverRooms.set(name, { epoch: frame.epoch, offset: frame.offset });
      if (room) return room.accept(this.#serverRooms.get(name), room.resumePoint);
      this.emit("subscribed", { room: name, epoch: frame.epoch, offset: frame.offset });
    } else if (op === "unsubscribed") {
      this.#serverRooms.delete(name);
      const error = errorOf(frame);
      if (room) link.forget?.(room);
      if (room && TRY_AGAIN.has(error.code)) return this.#comeBack(room, error);
      room?.end(error, "unsubscribed");
      this.emit("unsubscribed", { room: name, code: error.code, message: error.message });
    } else if (op === "acked") {
      if (isOffset(frame.offset)) this.tellAcked(room ?? { name }, frame.offset);
    }
  }
  tellAcked(room, offset) {
    const acked = { room: room.name, offset };
    room.acked = offset;
    room.each?.("acked", acked);
    this.emit("acked", acked);
  }
  /** The gateway put a room out that it could not read; that passes. */
  #comeBack(room, error) {
    const wait = backoffDelay(room.refusals++, this.#backoff);
    room.pause(error, wait);
    if (this.#socket) this.#pump();
    else this.#changeTimer.set(wait, () => this.#restream());
  }
  forPatterns(message) {
    const fitting = [...this.patterns.values()].filter(({ name }) => matches(name, message.room));
    for (const pattern of fitting) pattern.each("message", message);
    return fitting.length > 0;
  }
  /** While one stream takes over from another both carry what has no offset: it counts once. */
  #isEcho(link, op, frame) {
    const changing = this.#candidate?.kind === "sse";
    if (!changing && this.#echoes.size === 0) return false;
    if (frame.offset !== undefined || !["message", "join", "leave"].includes(op)) return false;
    const key = op + JSON.stringify(frame);
    if (changing) this.#echoes.set(key, link);
    else if (link.kind !== "sse" || monotonic() - this.#openedAt > 5000) this.#echoes.clear();
    const from = this.#echoes.get(key);
    return from !== undefined && from !== link && this.#echoes.delete(key);
  }
  #bye(link, { code, message, reconnect_in }) {
    if (link !== this.link) return;
    const wait = Math.min(Math.max(0, Number(reconnect_in) || 0), DAY);
    this.#returnAt = monotonic() + wait;
    this.emit("bye", { code: text(code), message: text(message), reconnectIn: wait });
    // The gateway closes now. If it does not, we do.
    this.#byeTimer.set(Math.min(wait, 5000), () => { if (link === this.link) link.fail("bye"); });
  }
  learnHeartbeat(gap) {
    this.#commentGap = Math.min(this.#commentGap ?? DAY, gap);
  }
  /** How long a stream may be silent. */
  get silenceMax() {
    return Math.max(1000, 2.5 * (this.#commentGap ?? this.#knownHeartbeat));
  }

  // -- requests --

  /** `again`: may be repeated after a lost connection. */
  request(op, fields, { again = true, wait = true } = {}) {
    return new Promise((resolve, reject) => {
      const request = { op, fields, again, wait, sent: false, timer: new Timer() };
      if (op === "ack") request.epoch = this.rooms.get(fields.room)?.epoch;
      request.settle = (error, reply) => {
        request.timer.clear();
        request.settled = true;
        const at = this.#waiting.indexOf(request);
        if (at >= 0) this.#waiting.splice(at, 1);
        if (error) return reject(error);
        const { id, op: _, ...answer } = reply;
        resolve(answer);
      };
      request.timer.set(this.#options.timeout ?? 30_000, () => request.settle(request.sent
        ? new FanfareError("outcome_unknown", `no answer to ${op}: it may have happened`)
        : new FanfareError("timeout", `no connection for ${op} in time: it did not happen`)));
      this.#dispatch(request);
    });
  }
  #dispatch(request) {
    const refuse = (code, message) => request.settle(new FanfareError(code, message));
    if (this.state === "closed") return refuse("closed", "the client is closed");
    if (this.#isStream && request.op !== "ack") return request.settle(needsSocket(request));
    const link = this.#socket;
    if (link && link.inFlight >= IN_FLIGHT_MAX) return refuse("limit_reached", "too many requests in flight");
    // A publish may need the subscription that was asked for just before.
    if (link && !this.#mustWait(request)) return this.#transmit(link, request);
    if (this.#openStream && !this.#mustWait(request)) return this.#post(this.#openStream, request);
    if (!link && !request.wait) return refuse("unavailable", "not connected");
    if (this.#waiting.length >= WAITING_MAX)
      return refuse("limit_reached", "too many requests wait for a connection");
    this.#waiting.push(request);
  }
  get #openStream() {
    return this.link?.isOpen && this.link.kind === "sse" ? this.link : null;
  }
  get #isStream() {
    if (this.#transport === "sse" || !this.WebSocket) return true;
    return this.link?.isOpen ? this.link.kind === "sse" : this.#fellBack && this.state !== "connecting";
  }
  #mustWait({ fields: { room: name } }) {
    const room = this.rooms.get(name);
    return Boolean(room && !room.joined && room.refusals === 0);
  }
  #transmit(link, request) {
    if (this.#isOutdated(request)) return;
    const done = (error, reply) => { if (!request.settled) request.settle(error, reply); };
    try {
      link.send(request.op, request.fields, done, request);
      request.sent = true;
    } catch (error) {       // not JSON: a cycle, a BigInt
      request.settle(error);
    }
  }
  /** Sends what waited, in its order. By a stream only acknowledgements wait. */
  flush() {
    const link = this.#socket ?? this.#openStream;
    if (!link) return;
    for (const request of [...this.#waiting]) {
      if (request.settled || this.#mustWait(request)) continue;
      this.#waiting.splice(this.#waiting.indexOf(request), 1);
      if (link.kind === "sse") this.#post(link, request);
      else this.#transmit(link, request);
    }
  }
  /** An offset of an inbox that has begun anew since would acknowledge what nobody has seen. */
  #isOutdated({ op, epoch, fields, settle }) {
    const room = op === "ack" ? this.rooms.get(fields.room) : null;
    if (!epoch || !room || room.epoch === epoch) return false;
    settle(about(fields.room, new FanfareError("conflict", "the inbox has begun anew")));
    return true;
  }
  async ack(name, offset) {
    const answer = await this.request("ack", { room: name, offset });
    const room = this.rooms.get(name);
    if (room?.isInbox && isOffset(answer.offset)) room.acked = Math.max(room.acked ?? 0, answer.offset);
    return answer;
  }
  /** An acknowledgement beside a stream. If that has been lost meanwhile, it goes by the next one. */
  async #post(link, request) {
    if (this.#isOutdated(request)) return;
    request.sent = true;
    const headers = { "Content-Type": "application/json" };
    if (this.#jwt) headers.Authorization = "Bearer " + this.#jwt;
    const { room, offset } = request.fields;
    let error;
    try {
      const body = JSON.stringify({ session: link.session, room, offset });
      const response = await this.fetch(this.address("sse/ack"), { method: "POST", headers, body });
      if (response.ok) error = null;
      else error = problemError(response.status, parseObject(await response.text()) ?? {});
    } catch (fault) {
      error = new FanfareError("unavailable", fault.message);
    }
    if (request.settled) return;
    if (error === null) return request.settle(null, { room, offset });
    const mayPass = error.code === "not_found" || error.code === "unavailable";
    if (!mayPass || link === this.#openStream) return request.settle(error);
    this.#dispatch(request);
  }

  // -- tokens --

  get mayAskForToken() { return Boolean(this.#options.getToken); }
  get hasAskedInVain() { return this.#needsFresh; }
  async #askToken(reason) {
    const answer = Promise.resolve(this.#options.getToken({ reason }));
    const token = await within(3 * this.connectTimeout, answer, "getToken() took too long");
    if (token != null && typeof token !== "string") throw new TypeError("getToken() gives a string or null");
    return token || null;
  }
  #useToken(token) {
    this.#jwt = token;
    this.#expires = claimsOf(token ?? "").exp;
  }
  async #tokenForConnect() {
    const expired = this.#expires * 1000 - Date.now() < 2000;
    if (this.mayAskForToken && (this.#needsFresh || !this.#jwt || expired))
      this.#useToken(await this.#askToken(this.#needsFresh ? "refused" : "connect"));
    return this.#jwt;
  }
  /** Asks for a fresh token when four fifths of what is left have passed. */
  #armRefresh() {
    this.#refreshTimer.clear();
    const expires = Number(this.link?.expires ?? this.#expires);
    if (!this.mayAskForToken || !(expires > 0)) return;
    const left = 0.8 * (expires * 1000 - Date.now());
    // With a wrong clock, or a backend that gives the same token again, every time seems to be over:
    // then it is asked ever more rarely, and never in a tight loop.
    this.#refreshTimer.set(Math.max(left, this.#refreshMin), () => this.#refresh());
    this.#refreshMin = left < this.#refreshMin ? Math.min(2 * this.#refreshMin, 60_000) : 1000;
  }
  async #refresh() {
    let token = null;
    try {
      token = await this.#askToken("expiring");
    } catch (error) {
      this.report(error);
    }
    if (this.state !== "open") return;      // the next connect sees to it
    if (!token || token === this.#jwt) return this.#armRefresh();
    this.auth(token).catch((error) => this.report(error));
  }
  /** A new token for this session. Resolves with the user. */
  async auth(token) {
    if (typeof token !== "string" || !token) throw new TypeError("auth() takes a token");
    const link = this.#socket;
    this.#needsFresh = false;
    if (!link) {
      this.#useToken(token);
      if (this.link?.kind === "sse") this.#restream(true);
      return null;
    }
    const reply = await new Promise((resolve, reject) => {
      link.send("auth", { token }, (error, ok) => (error ? reject(error) : resolve(ok)),
        { again: false, op: "auth", settle: (error) => reject(error) });
    });
    this.#useToken(token);
    link.user = text(reply.user) || null;
    link.expires = reply.expires;
    if (link === this.link) this.#armRefresh();
    return link.user;
  }

  // -- connecting --

  connect() {
    if (this.state !== "closed") return;
    this.reason = null;
    this.#attempt = 0;
    this.#listen();
    this.#dial();
  }
  close() {
    const link = this.link;
    this.#stop({ code: 1000, reason: "closed by the client" }, link !== null);
    link?.close();
  }
  /** Ends all that goes on; rooms and positions stay, for a later connect(). */
  #stop(why, tell = true) {
    const wasOpen = this.state !== "closed";
    this.#turn++;
    for (const timer of this.#timers) timer.clear();
    this.#candidate?.close();
    this.#candidate = null;
    const requests = [...(this.link?.takeRequests() ?? []), ...this.#waiting];
    this.#detach();
    this.#unlisten();
    this.positions.flush();
    if (!wasOpen) return;
    this.reason = why;
    this.#setState("closed", why);
    for (const request of requests)
      request.settle(request.sent && request.op === "publish"
        ? unknownOutcome(request)
        : new FanfareError("closed", "the client is closed"));
    if (tell) this.emit("close", { ...why, reconnectIn: null });
  }
  /** The link is gone. */
  #detach() {
    if (this.link?.kind === "sse") this.#cursor = this.link.cursor;
    this.link = null;
    this.#serverRooms.clear();
    for (const room of [...this.rooms.values(), ...this.patterns.values()]) room.joined = room.joining = false;
  }

  async #dial() {
    const turn = ++this.#turn;
    this.#retryTimer.clear();
    this.#triedAt = monotonic();
    this.#returnAt = null;
    this.#setState("connecting");
    let token;
    try {
      token = await this.#tokenForConnect();
    } catch (error) {
      if (turn !== this.#turn) return;
      this.report(error);
      return this.#wait({ code: 1006, reason: "no token" });
    }
    if (turn !== this.#turn) return;
    const kind = this.#pick();
    const fresh = token && token !== this.#refusedJwt;
    // A stream without a token may have been refused for the sake of one room.
    if (this.#needsFresh && !fresh && (this.#refusedJwt || kind !== "sse"))
      return this.#stop({ code: TOKEN_REFUSED, reason: "the token was refused, and there is no fresh one" });
    if (kind === "sse") {
      if (this.#streamRooms().length === 0) return this.#setState("idle");
      this.link = this.#stream(token, { beside: false });
    } else {
      this.link = new SocketLink(this, token);
    }
    this.link.open();
  }
  /**
   * WebSocket, unless it seems to be blocked: two handshakes in a row failed (three, if one has ever
   * worked here). Then each failed handshake is followed at once by a stream. If that works, it stays,
   * and a WebSocket is tried beside it: at once, for the gateway may just have been down, and then
   * ever more rarely.
   */
  #pick() {
    if (this.#transport !== "auto") return this.#transport;
    if (!this.WebSocket || this.#fellBack) return "sse";
    const blocked = this.#socketFailures >= (this.#socketWorked ? 3 : 2);
    return blocked && !this.#triedStream && this.rooms.size > 0 ? "sse" : "websocket";
  }

  #streamRooms() {
    const rooms = [...this.rooms.values()];
    const complain = (room, code, message) => {
      if (room.complained) return;
      room.complained = true;
      for (const entry of room.entries) this.report(about(room.name, new FanfareError(code, message)), entry);
    };
    for (const room of rooms.slice(STREAM_ROOMS_MAX))
      complain(room, "limit_reached", `an SSE stream has at most ${STREAM_ROOMS_MAX} rooms; it waits for a place`);
    for (const pattern of this.patterns.values()) complain(pattern, "unavailable", "patterns need a WebSocket");
    return rooms.slice(0, STREAM_ROOMS_MAX);
  }
  #stream(token, more) {
    const rooms = this.#streamRooms();
    const from = this.link?.kind === "sse" ? this.link.cursor : this.#cursor;
    return new StreamLink(this, token, rooms, sameList(from?.rooms, rooms) ? from.id : undefined, more);
  }
  /** A stream that would leave a hole is opened again with a longer replay; in vain, it is `lost`. */
  askForMore(link, missing) {
    const beside = link === this.#candidate;
    if (link.tries >= 3 || (!beside && link !== this.link)) return false;
    const next = this.#stream(this.#jwt, { beside, replay: 2 * missing, tries: link.tries + 1 });
    link.close();
    if (beside) this.#candidate = next;
    else this.link = next;
    next.open();
    return true;
  }
  /** The rooms (or the token) have changed: a new stream takes over when it is ready. */
  async #restream(evenSo = false) {
    if (this.state === "idle" || !this.link) {
      if (this.state === "idle" && this.#streamRooms().length > 0) this.#dial();
      return;
    }
    if (this.link.kind !== "sse" || this.state === "closed") return;
    if (this.#candidate?.kind === "websocket") return;      // whose end comes back here
    const rooms = this.#streamRooms(), present = (this.#candidate ?? this.link).rooms;
    if (!evenSo && sameList(rooms, present)) return;
    if (rooms.length === 0) {
      this.#dropCandidate();
      const link = this.link;
      this.#detach();
      link.close();
      this.#turn++;
      return this.#setState("idle");
    }
    this.#dropCandidate();
    if (!this.link.isOpen) {      // nothing to keep alive
      this.link.close();
      this.link = null;
      return this.#dial();
    }
    this.#echoes.clear();
    this.#candidate = this.#stream(this.#jwt, { beside: true });
    this.#candidate.open();
  }
  #dropCandidate() {
    this.#candidate?.close();
    this.#candidate = null;
  }
  /** Beside a stream: does a WebSocket work by now? */
  #probe() {
    if (this.#candidate || this.link?.kind !== "sse" || !this.link.isOpen) return this.#armProbe();
    this.#candidate = new SocketLink(this, this.#jwt);
    this.#candidate.open();
  }
  #armProbe() {
    if (!this.#fellBack || !this.WebSocket) return;
    this.#probeTimer.set(this.#probeWait, () => this.#probe());
    this.#probeWait = Math.min(this.#probeWait * 2, 3_600_000);
  }

  /** A link is ready: it was the present one, or takes its place. */
  opened(link) {
    if (link === this.#candidate) {
      const old = this.link;
      this.#candidate = null;
      this.#detach();
      old?.close();
      this.link = link;
    }
    if (link !== this.link) return link.close();
    this.#openedAt = monotonic();
    this.#needsFresh = false;
    this.#refusedJwt = undefined;
    this.#returnAt = null;
    this.#byeTimer.clear();
    if (link.kind === "websocket") {
      this.#knownHeartbeat = link.heartbeat;
      this.#cursor = null;
      this.#socketWorked = true;
      this.#socketFailures = 0;
      this.#fellBack = false;
      this.#probeTimer.clear();
      this.#probeWait = this.#options.retryWebSocket ?? 300_000;
      for (const room of [...this.rooms.values(), ...this.patterns.values()])
        Object.assign(room, { complained: false, notBefore: 0 });
    } else if (this.#transport === "auto" && this.WebSocket && !this.#fellBack) {
      this.#fellBack = true;
      this.#probeTimer.set(0, () => this.#probe());
    } else if (!this.#probeTimer.isSet) {
      this.#armProbe();
    }
    this.#triedStream = false;
    this.#setState("open");
    this.emit("open", { session: link.session, user: link.user, node: link.node, transport: link.kind });
    if (link !== this.link) return;       // a callback closed the client
    this.#armRefresh();
    if (link.kind === "websocket") {
      this.#pump();
      this.flush();
    } else {
      for (const request of [...this.#waiting])
        if (request.op !== "ack") request.settle(needsSocket(request));
      this.flush();
      this.#changeTimer.set(0, () => this.#restream());     // the rooms may have changed meanwhile
    }
  }

  ended(link, { code, reason, retry, refused, room, error }) {
    for (const [one, fault] of refused ?? []) one.end(about(one.name, fault));
    if (link === this.#candidate) {
      this.#candidate = null;
      if (link.kind === "websocket") {
        this.#armProbe();
        return this.#restream();
      }
      // The old stream goes on without the change; try again with what is wanted then. Not with a bad
      // token: the old stream ends with it, and then a fresh one is asked for.
      if (code === TOKEN_REFUSED) return;
      const wait = refused?.length ? 0 : retry ?? backoffDelay(0, this.#backoff);
      return this.#changeTimer.set(wait, () => this.#restream());
    }
    if (link !== this.link) return;
    if (room && this.rooms.has(room) && !TRY_AGAIN.has(error.code)) this.rooms.get(room).end(error);
    this.#byeTimer.clear();
    this.#refreshTimer.clear();
    this.#pumpTimer.clear();
    const requests = link.takeRequests();
    this.#detach();
    if (link.isOpen && monotonic() - this.#openedAt >= this.#backoff.stable) this.#restart();
    if (link.kind === "websocket" && !link.isOpen) this.#socketFailures++;
    this.#triedStream = link.kind === "sse" && !link.isOpen;
    if (this.#triedStream) this.#fellBack = false;

    const lasting = STAY_AWAY.has(code) ? { code, reason } : null;
    const again = requests.filter((request) => request.again);
    if (!lasting) this.#waiting.unshift(...again);
    for (const request of requests)
      if (lasting || !request.again) request.settle(unknownOutcome(request));
    if (this.state === "closed" || this.link) return;     // a callback of a promise cannot, but be sure
    if (lasting) return this.#stop(lasting);
    if (code === TOKEN_REFUSED) {
      if (!this.mayAskForToken) return this.#stop({ code, reason });
      this.#needsFresh = true;
      this.#refusedJwt = this.#jwt;
    }
    if (this.#returnAt !== null) this.#dropCandidate();
    if (this.#candidate) {      // it was to take over anyway
      this.link = this.#candidate;
      this.#candidate = null;
      this.emit("close", { code, reason, reconnectIn: 0 });
      return this.#setState("connecting");
    }
    this.#wait({ code, reason, retry, now: Boolean(refused?.length) });
  }
  #restart() {
    this.#attempt = this.#byes = 0;
    this.#firstWait = undefined;
  }

  /** Decides when to come back. */
  #wait({ code, reason, retry, now = false }) {
    let wait;
    if (this.#returnAt !== null) {
      // Exactly as told: the gateway spreads its clients. Should it not be there yet, the next waits
      // begin with twice as much, or the spread would be lost among first tries every 3 s.
      wait = Math.max(0, this.#returnAt - monotonic());
      if (++this.#byes > 3) wait = Math.max(wait, backoffDelay(this.#byes - 4, this.#backoff));   // a loop
      this.#attempt = 0;
      this.#firstWait = Math.max(this.#backoff.min, 2 * wait);
    } else if (now || (code === TOKEN_REFUSED && this.#attempt === 0)) {
      wait = 0;       // a room was refused and is left out; or a fresh token helps
      this.#attempt += now ? 0 : 1;
    } else if (this.#transport === "auto" && !this.#fellBack && this.#socketFailures > 0 && this.#pick() === "sse") {
      wait = 0;       // the same try by the other way
    } else {
      const backoff = { ...this.#backoff, min: this.#firstWait ?? this.#backoff.min };
      wait = retry > 0 ? Math.min(retry, DAY) : backoffDelay(this.#attempt, backoff);
      this.#attempt++;
    }
    this.emit("close", { code, reason, reconnectIn: wait });
    if (this.state === "closed") return;
    this.#retryTimer.set(wait, () => this.#dial());
    this.#setState("waiting", { reconnectIn: wait, attempt: this.#attempt });
  }

  // -- hints of the browser --

  #hint = () => {
    if (globalThis.document?.visibilityState === "hidden") return this.positions.flush();
    if (this.state === "open") this.link?.check(5000);
    // Not against the wish of a `bye`, and not at every flicker.
    else if (this.state === "waiting" && this.#returnAt === null && monotonic() - this.#triedAt > 1000) this.#dial();
  };
  #leave = () => this.positions.flush();
  #listen() {
    if (typeof globalThis.addEventListener !== "function") return;
    for (const name of ["online", "offline", "pageshow"]) globalThis.addEventListener(name, this.#hint);
    globalThis.addEventListener("pagehide", this.#leave);
    globalThis.document?.addEventListener?.("visibilitychange", this.#hint);
  }
  #unlisten() {
    if (typeof globalThis.removeEventListener !== "function") return;
    for (const name of ["online", "offline", "pageshow"]) globalThis.removeEventListener(name, this.#hint);
    globalThis.removeEventListener("pagehide", this.#leave);
    globalThis.document?.removeEventListener?.("visibilitychange", this.#hint);
  }
}

const unknownOutcome = ({ op }) =>
  new FanfareError("outcome_unknown", `the connection was lost before ${op} was answered: it may have happened`);
const needsSocket = (request) => (request.sent && request.op === "publish"
  ? unknownOutcome(request)
  : new FanfareError("unavailable", `${request.op} needs a WebSocket, and this client is connected by SSE`));

// ---- what you see ----

export class Client {
  #core;
  constructor(core) { this.#core = core; }
  get state() { return this.#core.state; }
  get session() { return this.#core.link?.session ?? null; }
  get user() { return this.#core.link?.user ?? null; }
  get transport() { return this.#core.link?.isOpen ? this.#core.link.kind : null; }
  get closeReason() { return this.#core.reason; }
  on(name, listener) { return this.#core.on(name, listener); }
  subscribe(target, handlers, options) { return this.#core.subscribe(target, handlers, options); }
  publish(room, data, { event, ephemeral, key } = {}) {
    if (data === undefined) data = null;
    return this.#core.request("publish", { room, data, event, ephemeral, key },
      { again: key !== undefined, wait: !ephemeral });
  }
  presence(room) { return this.#core.request("presence", { room }); }
  async history(room, { limit, since, reverse } = {}) {
    const page = await this.#core.request("history", { room, limit, since, reverse });
    const messages = (Array.isArray(page.messages) ? page.messages : []).filter(isObject);
    page.messages = messages.map((one) => toPastMessage(room, page.epoch, one));
    return page;
  }
  ack(room, offset) { return this.#core.ack(room, offset); }
  auth(token) { return this.#core.auth(token); }
  connect() { this.#core.connect(); }
  close() { this.#core.close(); }
}

/** Connects to the gateway at `url` (the page's own, if there is none) and returns at once. */
export function connect(url, options = {}) {
  if (isObject(url) && !(url instanceof URL)) [url, options] = [undefined, url];
  const core = new Core(url, options);
  // So that listeners that are set right after connect() hear everything.
  const client = new Client(core);
  core.connect();
  return client;
}
