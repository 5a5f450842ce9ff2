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
