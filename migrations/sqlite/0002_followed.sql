-- Deploys are followed to their end, and their cards with them.

ALTER TABLE deploy ADD COLUMN own_parameters TEXT;
ALTER TABLE deploy ADD COLUMN origin TEXT NOT NULL DEFAULT 'asked' CHECK (origin IN ('asked', 'retry', 'rollback'));
ALTER TABLE deploy ADD COLUMN origin_number INTEGER;
-- What was live there when it was asked for.
ALTER TABLE deploy ADD COLUMN replaces_number INTEGER;
ALTER TABLE deploy ADD COLUMN replaces_revision TEXT;
ALTER TABLE deploy ADD COLUMN subject TEXT;
-- What CircleCI tells of its workflows and of what failed; the states so far with their times. JSON.
ALTER TABLE deploy ADD COLUMN report TEXT NOT NULL DEFAULT '{}';
ALTER TABLE deploy ADD COLUMN steps TEXT NOT NULL DEFAULT '[]';
ALTER TABLE deploy ADD COLUMN ended_at INTEGER;
-- Whether CircleCI is asked about it still.
ALTER TABLE deploy ADD COLUMN followed INTEGER NOT NULL DEFAULT 0;
-- `version` grows with each change that people should see; `shown` is the one that the card shows, `told` whether its asker
-- has been told of the end.
ALTER TABLE deploy ADD COLUMN version INTEGER NOT NULL DEFAULT 1;
ALTER TABLE deploy ADD COLUMN shown INTEGER NOT NULL DEFAULT 0;
ALTER TABLE deploy ADD COLUMN told INTEGER NOT NULL DEFAULT 0;

-- What an earlier version has left is shown as it is. Only what was asked for within a day of the newest one is followed.
UPDATE deploy SET shown = version, told = 1;
UPDATE deploy SET followed = 1, shown = 0
 WHERE state IN ('triggering', 'queued', 'running') AND asked_at >= (SELECT MAX(asked_at) FROM deploy) - 86400000;

-- A build belongs to one deploy; a project that is made anew counts its builds from 1 again.
CREATE UNIQUE INDEX deploy_by_build ON deploy (vcs, lower(repo), build_number) WHERE followed = 1 AND build_number IS NOT NULL;
CREATE INDEX deploy_followed ON deploy (asked_at) WHERE followed = 1;
CREATE INDEX deploy_not_shown ON deploy (changed_at) WHERE shown < version;
CREATE INDEX deploy_succeeded ON deploy (guild_id, lower(repo), environment, ended_at) WHERE state = 'succeeded';

-- Which projects send webhooks, and when the last one came: they are polled less.
CREATE TABLE webhook (
    project TEXT NOT NULL PRIMARY KEY,
    heard_at INTEGER NOT NULL
) STRICT;

-- The trigger `build`, and whether a rollback must be confirmed. SQLite changes no CHECK, so the table is made anew.
CREATE TABLE environment_next (
    guild_id INTEGER NOT NULL,
    repo_key TEXT NOT NULL,
    name TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('pipeline', 'job', 'build')),
    job TEXT CHECK ((job IS NOT NULL) = (kind = 'job')),
    definition TEXT,
    template TEXT NOT NULL,
    confirm INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (guild_id, repo_key, name),
    FOREIGN KEY (guild_id, repo_key) REFERENCES repo (guild_id, repo_key) ON DELETE CASCADE
) STRICT;
INSERT INTO environment_next (guild_id, repo_key, name, kind, job, definition, template)
    SELECT guild_id, repo_key, name, kind, job, definition, template FROM environment;
DROP TABLE environment;
ALTER TABLE environment_next RENAME TO environment;
