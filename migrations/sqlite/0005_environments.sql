-- What an environment allows: which branches (a glob), from which channel, with which parameters (JSON), and how many must approve.
ALTER TABLE environment ADD COLUMN branches TEXT NOT NULL DEFAULT '*';
ALTER TABLE environment ADD COLUMN channel_id INTEGER;
ALTER TABLE environment ADD COLUMN declared TEXT NOT NULL DEFAULT '[]';
ALTER TABLE environment ADD COLUMN approvals INTEGER NOT NULL DEFAULT 0;
-- The one that is meant where none is named.
ALTER TABLE environment ADD COLUMN is_default INTEGER NOT NULL DEFAULT 0;
CREATE UNIQUE INDEX environment_default ON environment (guild_id, repo_key) WHERE is_default = 1;
