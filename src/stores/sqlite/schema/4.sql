-- The queue of pushes, and what was given up.

-- 1: its jobs were made.
ALTER TABLE notifications ADD COLUMN pushed INTEGER NOT NULL DEFAULT 0;
-- What is for push alone, as JSON (delivery::Notification); NULL: nothing.
ALTER TABLE notifications ADD COLUMN push_options TEXT;
-- Attempts whose acknowledgement is late, of all inboxes: their user may have gone.
CREATE INDEX notifications_by_wait ON notifications (due) WHERE due IS NOT NULL;

-- One notification for one device, until it is known what became of it.
CREATE TABLE push_jobs (
    id INTEGER PRIMARY KEY,
    lane INTEGER NOT NULL,     -- delivery::Priority
    due INTEGER NOT NULL,      -- not before
    inbox INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    device INTEGER NOT NULL,
    attempts INTEGER NOT NULL, -- made
    queued INTEGER NOT NULL    -- since when
) STRICT;
CREATE INDEX push_jobs_by_turn ON push_jobs (lane, due, id);
CREATE INDEX push_jobs_by_notification ON push_jobs (inbox, offset);
CREATE INDEX push_jobs_by_device ON push_jobs (device);

-- Jobs that were given up, with what the service said last.
CREATE TABLE dead_letters (
    id INTEGER PRIMARY KEY,
    inbox INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    device INTEGER NOT NULL,
    device_name TEXT NOT NULL,
    provider TEXT NOT NULL,
    status INTEGER NOT NULL, -- HTTP; 0: no answer
    reason TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    time INTEGER NOT NULL
) STRICT;
CREATE INDEX dead_letters_by_notification ON dead_letters (inbox, offset);
