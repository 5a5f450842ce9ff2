-- The queue of pushes, and what was given up.

-- 1: its jobs were made.
ALTER TABLE notifications ADD COLUMN pushed INTEGER NOT NULL DEFAULT 0;
-- What is for push alone, as JSON (delivery::Notification); NULL: nothing.
ALTER TABLE notifications ADD COLUMN push_options TEXT;
-- Attempts whose acknowledgement is late, of all inboxes: their user may have gone.
CREATE INDEX notifications_by_wait ON notifications (due) WHERE due IS NOT NULL;

-- One notification for one device, until it is known what became of it.
-- Clustered by turn: what is sent next is one walk, and so is what was sent.
CREATE TABLE push_jobs (
    lane INTEGER NOT NULL,     -- delivery::Priority
    due INTEGER NOT NULL,      -- not before
    id INTEGER NOT NULL,       -- of a job that was made later: higher
    inbox INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    device INTEGER NOT NULL,
    attempts INTEGER NOT NULL, -- made
    queued INTEGER NOT NULL,   -- since when
    content TEXT,              -- what it says; NULL: what its notification says
    PRIMARY KEY (lane, due, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX push_jobs_by_notification ON push_jobs (inbox, offset);

-- Jobs that were given up, with what the service said last. Operators name them by id: none is given
-- twice.
CREATE TABLE dead_letters (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    inbox INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    device TEXT NOT NULL,      -- its name; its row may be gone
    provider TEXT NOT NULL,
    status INTEGER NOT NULL,   -- HTTP; 0: no answer
    reason TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    time INTEGER NOT NULL,
    content TEXT,              -- what it says at the next try; NULL: what its notification says
    ttl INTEGER                -- seconds, from then on; NULL: as long as its notification lives
) STRICT;
CREATE INDEX dead_letters_by_notification ON dead_letters (inbox, offset);

-- One message to many: what its notifications have in common.
CREATE TABLE sends (
    id INTEGER PRIMARY KEY,
    public BLOB NOT NULL UNIQUE, -- as callers know it: 16 bytes, as a notification's
    target INTEGER NOT NULL,     -- delivery::Audience::Kind
    topic TEXT,
    priority INTEGER NOT NULL,
    channels INTEGER NOT NULL,
    created INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    category TEXT,
    collapse_key TEXT,
    data TEXT NOT NULL,
    push_options TEXT
) STRICT;

-- How far it is. Small, since it is written again and again.
CREATE TABLE send_progress (
    send INTEGER PRIMARY KEY,
    lane INTEGER NOT NULL,     -- its priority
    place INTEGER NOT NULL,    -- up to where the walk is: a piece of send_users, or a device
    after TEXT NOT NULL,       -- the same of a broadcast: a user
    began INTEGER,             -- the walk
    expanded INTEGER,          -- the walk has ended
    cut INTEGER NOT NULL,      -- 1: since its time was over
    sweep INTEGER,             -- when it is to be looked at; NULL: with its last notification
    updated INTEGER NOT NULL,
    accepted INTEGER NOT NULL, -- whom it is for, as far as that is known
    kept INTEGER NOT NULL,     -- rows of notifications
    -- its notifications by status
    pending INTEGER NOT NULL DEFAULT 0,
    processing INTEGER NOT NULL DEFAULT 0,
    sent INTEGER NOT NULL DEFAULT 0,
    delivered INTEGER NOT NULL DEFAULT 0,
    retry INTEGER NOT NULL DEFAULT 0,
    failed INTEGER NOT NULL DEFAULT 0,
    scheduled INTEGER NOT NULL DEFAULT 0,
    cancelled INTEGER NOT NULL DEFAULT 0,
    suppressed INTEGER NOT NULL DEFAULT 0,
    expired INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX send_progress_open ON send_progress (lane, send) WHERE expanded IS NULL;
CREATE INDEX send_progress_by_sweep ON send_progress (sweep) WHERE sweep IS NOT NULL;

-- The users of one that names them and is not placed yet: in pieces, separated by line feeds.
CREATE TABLE send_users (
    send INTEGER NOT NULL,
    place INTEGER NOT NULL,
    users TEXT NOT NULL,
    PRIMARY KEY (send, place)
) STRICT, WITHOUT ROWID;

-- NULL: a single one. Else its text is the send's, and `data` and
-- `push_options` are empty.
ALTER TABLE notifications ADD COLUMN send INTEGER;
