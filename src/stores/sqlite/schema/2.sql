-- Notifications and the inboxes of their users.

-- A row comes with a user's first notification, and goes with the last.
CREATE TABLE inboxes (
    id INTEGER PRIMARY KEY,
    user TEXT NOT NULL UNIQUE,
    epoch TEXT NOT NULL,
    newest INTEGER NOT NULL, -- offset given last
    acked INTEGER NOT NULL   -- all up to here is acknowledged
) STRICT;

-- Read positions of a user's devices. The shared default has no name.
CREATE TABLE inbox_devices (
    inbox INTEGER NOT NULL,
    device TEXT NOT NULL,
    offset INTEGER NOT NULL,
    seen INTEGER NOT NULL, -- its last acknowledgement
    PRIMARY KEY (inbox, device)
) STRICT, WITHOUT ROWID;

-- Clustered by inbox: a page is one walk. Offsets may have holes.
CREATE TABLE notifications (
    inbox INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    id BLOB NOT NULL,          -- 16 bytes
    status INTEGER NOT NULL,   -- delivery::Status
    priority INTEGER NOT NULL, -- delivery::Priority
    channels INTEGER NOT NULL, -- set of delivery::Channel
    attempts INTEGER NOT NULL, -- made in realtime
    created INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    updated INTEGER NOT NULL,  -- when the status moved last
    tried INTEGER NOT NULL,    -- the last attempt; 0: none
    due INTEGER,               -- end of the wait for its acknowledgement; NULL: nobody waits
    sweep INTEGER NOT NULL,    -- when it is to be looked at: it expires, or its record goes
    category TEXT,
    collapse_key TEXT,
    data TEXT NOT NULL,
    PRIMARY KEY (inbox, offset)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX notifications_by_id ON notifications (id);
CREATE INDEX notifications_by_due ON notifications (inbox, due) WHERE due IS NOT NULL;
CREATE INDEX notifications_by_collapse_key ON notifications (inbox, collapse_key)
    WHERE collapse_key IS NOT NULL;
CREATE INDEX notifications_by_sweep ON notifications (sweep);

-- Timelines. That a notification was accepted is no row: its `created` says so.
CREATE TABLE notification_events (
    inbox INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    time INTEGER NOT NULL,
    event INTEGER NOT NULL,   -- delivery::Event
    status INTEGER,           -- that it moved to
    attempt INTEGER NOT NULL, -- 0: not about an attempt
    detail TEXT,
    PRIMARY KEY (inbox, offset, seq)
) STRICT, WITHOUT ROWID;

-- One row per notification of a call that had an idempotency key.
CREATE TABLE notification_keys (
    key TEXT NOT NULL,
    part INTEGER NOT NULL, -- in the order of the call's users
    fingerprint INTEGER NOT NULL,
    id BLOB NOT NULL,
    epoch TEXT NOT NULL,
    offset INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    PRIMARY KEY (key, part)
) STRICT, WITHOUT ROWID;
CREATE INDEX notification_keys_by_expiry ON notification_keys (expires);
