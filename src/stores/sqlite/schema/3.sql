-- Push endpoints of users.

CREATE TABLE devices (
    id INTEGER PRIMARY KEY,
    user TEXT NOT NULL,
    name TEXT NOT NULL,
    platform INTEGER NOT NULL,   -- delivery::Platform
    token TEXT NOT NULL,         -- web: the endpoint
    p256dh BLOB,                 -- web only, as is
    auth BLOB,
    app TEXT,
    locale TEXT,
    timezone TEXT,
    registered INTEGER NOT NULL, -- last
    expires INTEGER,             -- NULL: when the provider says so
    UNIQUE (user, name),
    UNIQUE (platform, token)
) STRICT;
CREATE INDEX devices_by_expiry ON devices (expires) WHERE expires IS NOT NULL;

-- Clustered by topic: who wants it is one walk.
CREATE TABLE device_topics (
    topic TEXT NOT NULL,
    device INTEGER NOT NULL,
    PRIMARY KEY (topic, device)
) STRICT, WITHOUT ROWID;
CREATE INDEX device_topics_by_device ON device_topics (device);
