// Types of fanfare.js. Guide: docs/clients.md; what travels on the wire: docs/protocol.md.

/** A place in a room: `offset` counts its messages from 1, `epoch` names one life of that count. */
export interface Position {
  epoch: string;
  offset: number;
}

export interface Message<T = unknown> {
  room: string;
  /** What was published, parsed as JSON. */
  data: T;
  /** The message's number in its room. Ephemeral messages have none. */
  offset?: number;
  /** The room's epoch; with `offset` a position. Absent for ephemeral messages and those by pattern. */
  epoch?: string;
  /** The name that the publisher gave it. */
  event?: string;
  /** The idempotency key that it was published with; in `@me`, the notification's id. */
  id?: string;
  /** The publishing user, set by the gateway; absent for messages from backends and anonymous clients. */
  from?: string;
  /** When it was published (RFC 3339); only in answers to `history`. */
  time?: string;
  /**
   * In `@me`: how many times it has been sent, to whatever page or device, if more than once. What is sent again
   * to this client, because it was not acknowledged, is not handed over again.
   */
  attempt?: number;
  /** Not numbered and not kept: it matters only now. */
  ephemeral: boolean;
  /** Was already in the room when this connection joined it. */
  replayed: boolean;
}

/**
 * Some messages will never come. Load your state afresh; live goes on after `offset`. In `@me` what is not
 * acknowledged comes all the same, from its first one.
 */
export interface Loss {
  room: string;
  /**
   * `epoch`: the room's count began anew (the gateway restarted, or the room was forgotten).
   * `trimmed`: the history no longer reached back far enough. `reset`: the gateway said so while live.
   */
  reason: "epoch" | "trimmed" | "reset";
  /** The last that was processed before. */
  since: Position;
  epoch: string;
  offset: number;
  /** How many, where that is known. */
  missed: number | null;
}

export interface Subscribed {
  room?: string;
  pattern?: string;
  epoch?: string;
  /** The room's newest message when it was joined. */
  offset?: number;
  /** The answer to a resume: everything that was missed follows. Absent if there was none. */
  recovered?: boolean;
  /** Of `@me`: everything up to there is acknowledged. */
  acked?: number;
}

export interface Unsubscribed {
  room: string;
  code: string;
  message: string;
}

/**
 * Callbacks of one subscription. What one throws (or a promise that it returns and that is rejected)
 * is reported as an `error` with the code `callback`; the message counts as processed, and nobody else is disturbed.
 */
export interface Callbacks<T = unknown> {
  /** Each message once, in order. Its position counts when this has returned. */
  message?(message: Message<T>): void;
  /** A user came or left (rooms with presence). */
  join?(change: { room: string; user: string }): void;
  leave?(change: { room: string; user: string }): void;
  /** Subscribed; again after each reconnect. */
  subscribed?(answer: Subscribed): void;
  lost?(loss: Loss): void;
  /** The gateway ended the subscription: by an API call, or because the right to it ended. */
  unsubscribed?(end: Unsubscribed): void;
  /**
   * Another session of the user, or your backend, acknowledged everything up to `offset` (`@me`). Also after a
   * reconnect, if that happened meanwhile. Not for this client's own `ack()`.
   */
  acked?(acked: { room: string; offset: number }): void;
  /**
   * The subscription was refused, which ends it, unless the code is one that may pass (`unavailable`,
   * `internal`: it is tried again; `limit_reached` with SSE: it waits for a place). Or `@me` could not be read for
   * a moment (`unavailable`: it is tried again). Or a callback threw.
   * Without this callback it goes to the client's `error` event.
   */
  error?(error: FanfareError): void;
}

export interface SubscribeOptions {
  /**
   * Begin with the newest `last` messages. If this client is in the room already, they come by `history`,
   * which needs a WebSocket. In `@me`: with the newest, acknowledged or not (by SSE, beside rooms that want more,
   * perhaps more of them); without it, with what is not acknowledged and has attempts left.
   */
  last?: number;
  /** Begin after this position. `null`: not even after the stored one (`@me` has none). Wins over `last`. */
  since?: Position | null;
  /** For `@me`: which device's read position to use. */
  device?: string;
}

export interface Subscription {
  readonly room?: string;
  readonly pattern?: string;
  /** False after `unsubscribe()`, a refusal, or when the gateway ended it. */
  readonly active: boolean;
  /** The last message that the room's callbacks have processed; null if there is none yet. */
  readonly position: Position | null;
  /** The first answer; rejected if the subscription is refused or ended before. */
  readonly ready: Promise<Subscribed>;
  unsubscribe(): void;
}

export interface PublishOptions {
  /** 1–64 bytes, for the receivers to tell kinds of messages. */
  event?: string;
  /** Not numbered, not kept, not echoed, dropped first; and refused at once while not connected. */
  ephemeral?: boolean;
  /**
   * Idempotency key: makes it safe to repeat, so the client does so after a lost connection. For signed-in
   * users; receivers see it as the message's `id`.
   */
  key?: string;
}

export interface Published {
  room: string;
  /** Absent for ephemeral messages. */
  epoch?: string;
  offset?: number;
  /** This key was published before; nothing happened now. */
  duplicate?: boolean;
}

export interface Presence {
  room: string;
  /** At most 1,000. One who has just gone is listed with `sessions: 0` for a moment. */
  members: { user: string; sessions: number; info?: unknown }[];
  /** Sessions in all, anonymous ones included. */
  total: number;
}

export interface HistoryOptions {
  /** Default 100, at most 1,000. */
  limit?: number;
  since?: Position;
  /** Newest first. */
  reverse?: boolean;
}

export interface History<T = unknown> {
  room: string;
  epoch: string;
  /** The room's newest. */
  offset: number;
  messages: Message<T>[];
  /** There is more than this page. */
  more: boolean;
}

/**
 * `connecting`, `open`; `waiting` to try again; `idle`: SSE without a room to listen to; `closed` by close(), or for
 * good, see `closeReason`.
 */
export type State = "connecting" | "open" | "waiting" | "idle" | "closed";
export type Transport = "websocket" | "sse";

export interface Closing {
  /** A close code of docs/protocol.md; 1006 if the connection was lost. Streams are told by the same codes. */
  code: number;
  reason: string;
  /** Milliseconds until the next try; null if there will be none. */
  reconnectIn: number | null;
}

export interface ClientEvents {
  state: { state: State; reconnectIn?: number; attempt?: number; code?: number; reason?: string };
  /** Connected, and signed in if there was a token. `node` is known by WebSocket only. */
  open: { session: string; user: string | null; node: string | null; transport: Transport };
  close: Closing;
  /** The gateway sends this client away; it comes back after exactly this time (ms). */
  bye: { code: string; message: string; reconnectIn: number };
  /** Whatever has no place of its own. If nobody listens, it goes to the console. */
  error: FanfareError;
  /** Every message, of rooms and patterns, and of rooms that the backend subscribed this session to. */
  message: Message;
  subscribed: Subscribed;
  unsubscribed: Unsubscribed;
  lost: Loss;
  join: { room: string; user: string };
  leave: { room: string; user: string };
  acked: { room: string; offset: number };
}

export type TokenReason =
  /** There is none yet, or the last one has expired. */
  | "connect"
  /** The present one will soon expire; the session goes on. */
  | "expiring"
  /** The last one was refused, or the session was ended with it: only a fresh one helps. */
  | "refused";

export interface Backoff {
  /** Before the first try, in ms; doubled for each further one. Default 3,000. */
  min?: number;
  /** Default 60,000. */
  max?: number;
  /** Each wait is made longer or shorter by up to this part of it. Default 0.5. */
  jitter?: number;
  /** A connection that lived this long (ms) begins the count anew. Default 10,000. */
  stable?: number;
}

export interface ConnectOptions {
  /** A JWT. It cannot be refreshed: when it is refused the client stays away. */
  token?: string;
  /** Gives a JWT, or null to be anonymous; called when one is needed, and in time before it expires. */
  getToken?(why: { reason: TokenReason }): string | null | undefined | Promise<string | null | undefined>;
  /** Default `auto`: WebSocket, and SSE where that is blocked or there is none. */
  transport?: "auto" | Transport;
  /** Where positions are kept, e.g. `localStorage`: a reload then goes on where the page was. Not for `@me`. */
  storage?: Pick<Storage, "getItem" | "setItem">;
  /** Before each room's name in `storage`. Default `fanfare:`. Give each user one. */
  storagePrefix?: string;
  backoff?: Backoff;
  /** How long a connection may take until it is usable, in ms. Default 10,000. */
  connectTimeout?: number;
  /** How long a request may take, waiting for a connection included, in ms. Default 30,000. */
  timeout?: number;
  /** How long after a fall back to SSE a WebSocket is tried again, in ms; doubled each time. Default 300,000. */
  retryWebSocket?: number;
  /** A WebSocket class, where there is none built in: Node's package `ws` before Node 22. */
  WebSocket?: new (url: string, protocols?: string) => unknown;
  fetch?: typeof fetch;
}

/**
 * `code` is one of docs/protocol.md (`bad_request`, `unauthorized`, `forbidden`, `not_found`, `rate_limited` …), or
 * of the client itself:
 * `outcome_unknown` the connection was lost before the answer: it may or may not have happened;
 * `timeout` there was no connection in time: it did not happen;
 * `unavailable` it needs a WebSocket, or (ephemeral) a connection now;
 * `limit_reached` too many requests wait or are in flight;
 * `closed` the client was closed; `callback` a callback threw, see `cause`.
 */
export class FanfareError extends Error {
  constructor(code: string, message?: string, cause?: unknown);
  readonly code: string;
  /** The room that it is about, if it is about one. */
  readonly room?: string;
  readonly cause?: unknown;
}

export class Client {
  private constructor();
  readonly state: State;
  readonly session: string | null;
  readonly user: string | null;
  /** While connected. */
  readonly transport: Transport | null;
  /** Why it is closed. */
  readonly closeReason: { code: number; reason: string } | null;

  /** Returns a function that removes the listener. */
  on<E extends keyof ClientEvents>(event: E, listener: (value: ClientEvents[E]) => void): () => void;

  /**
   * Listens to a room, or to all that fit a pattern (`*` is any run of characters; live messages only, WebSocket
   * only). May be called at any time; several subscriptions to one room are one on the wire.
   */
  subscribe<T = unknown>(
    room: string | { pattern: string },
    callbacks?: Callbacks<T> | ((message: Message<T>) => void),
    options?: SubscribeOptions,
  ): Subscription;

  /**
   * Publishes by WebSocket. While there is no connection it waits; if the connection is lost before the answer it is
   * repeated if it has a `key`, else rejected with `outcome_unknown`.
   */
  publish(room: string, data: unknown, options?: PublishOptions): Promise<Published>;
  presence(room: string): Promise<Presence>;
  history<T = unknown>(room: string, options?: HistoryOptions): Promise<History<T>>;
  /**
   * Acknowledges `@me` up to `offset`, on the disk of the gateway. Waits for a connection, and is repeated after a
   * lost one; `conflict` if the inbox was erased meanwhile, so that the offset is of another life.
   */
  ack(room: string, offset: number): Promise<{ room: string; offset: number }>;
  /** Signs in, or gives a fresh token, without a gap. Resolves with the user; null if not connected by WebSocket. */
  auth(token: string): Promise<string | null>;

  /** After close(), or after it stayed away: connects again, with the same subscriptions and positions. */
  connect(): void;
  close(): void;
}

/** Connects to the gateway at `url` (http, https, ws or wss; default: the page's own) and returns at once. */
export function connect(url?: string | URL, options?: ConnectOptions): Client;
export function connect(options: ConnectOptions): Client;

/** How long to wait before try number `attempt` (from 0): 3 s, 6 s, 12 s … 60 s, give or take half. */
export function backoffDelay(attempt: number, backoff?: Backoff, random?: () => number): number;
