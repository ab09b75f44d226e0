-- Requests for access that runs out by itself, numbered in their guild. A card shows version `shown`; `told` is 1 once the asker has
-- been told of the decision in the channel.
ALTER TABLE guild ADD COLUMN requests_made INTEGER NOT NULL DEFAULT 0;

CREATE TABLE access_request (
    guild_id INTEGER NOT NULL,
    number INTEGER NOT NULL,
    interaction_id INTEGER UNIQUE,
    channel_id INTEGER,
    message_id INTEGER,
    user_id INTEGER NOT NULL,
    user_name TEXT NOT NULL,
    action TEXT NOT NULL,
    repo TEXT NOT NULL,
    environment TEXT NOT NULL,
    reason TEXT NOT NULL,
    duration_ms INTEGER NOT NULL,
    state TEXT NOT NULL,
    asked_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    decided_by TEXT,
    decided_by_name TEXT,
    decided_at INTEGER,
    decision_reason TEXT,
    rule_number INTEGER,
    granted_until INTEGER,
    version INTEGER NOT NULL DEFAULT 1,
    shown INTEGER NOT NULL DEFAULT 0,
    told INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (guild_id, number)
);
CREATE INDEX access_request_open ON access_request (expires_at) WHERE state = 'open';
CREATE INDEX access_request_not_shown ON access_request (guild_id, number) WHERE shown < version;
