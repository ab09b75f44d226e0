-- What a guild has set, by name; what isn't here has its default.
CREATE TABLE guild_setting (
    guild_id INTEGER NOT NULL REFERENCES guild (guild_id),
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (guild_id, name)
) STRICT;

-- How far the audit log has come into a guild's audit channel. What is being sent is noted before it is: `sending` says which message
-- (entries up to a number, or the head of the day), and `sent_at` since when it may be there.
CREATE TABLE audit_delivery (
    guild_id INTEGER NOT NULL PRIMARY KEY REFERENCES guild (guild_id),
    channel_id INTEGER NOT NULL,
    delivered INTEGER NOT NULL,
    sending TEXT CHECK (sending IN ('entries', 'head')),
    sending_last INTEGER,
    sent_at INTEGER,
    head_day INTEGER NOT NULL DEFAULT 0,
    head_seq INTEGER NOT NULL DEFAULT 0,
    failing INTEGER NOT NULL DEFAULT 0
) STRICT;
