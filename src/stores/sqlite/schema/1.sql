-- Durable rooms and the keys of publishes.

-- A room's position: its newest message, or `newest` if that was deleted already.
CREATE TABLE rooms (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    epoch TEXT NOT NULL,
    newest INTEGER NOT NULL, -- of the messages that were deleted
    used INTEGER NOT NULL    -- time of the newest message that was deleted, or of creation
) STRICT;

-- Clustered by room: a range of one room is one walk.
CREATE TABLE messages (
    room INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    time INTEGER NOT NULL,   -- milliseconds since 1970, as everywhere
    event TEXT,
    id TEXT,
    sender TEXT,
    data TEXT NOT NULL,
    PRIMARY KEY (room, offset)
) STRICT, WITHOUT ROWID;

-- One row per room of a publish that had an idempotency key.
CREATE TABLE publish_keys (
    key TEXT NOT NULL,
    part INTEGER NOT NULL,
    fingerprint INTEGER NOT NULL,
    epoch TEXT NOT NULL,
    offset INTEGER NOT NULL, -- 0: ephemeral
    expires INTEGER NOT NULL,
    PRIMARY KEY (key, part)
) STRICT, WITHOUT ROWID;
CREATE INDEX publish_keys_by_expiry ON publish_keys (expires);
