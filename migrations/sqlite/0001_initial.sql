-- Times are UTC milliseconds since 1970; flags are integers; Discord's ids are integers below 2^63.
-- Everything belongs to a guild; numbers that people see are counted in their guild and never used again.

CREATE TABLE guild (
    guild_id INTEGER NOT NULL PRIMARY KEY,
    rules_made INTEGER NOT NULL DEFAULT 0,
    deploys_made INTEGER NOT NULL DEFAULT 0,
    seen_at INTEGER NOT NULL
) STRICT;

CREATE TABLE rule (
    guild_id INTEGER NOT NULL REFERENCES guild (guild_id),
    number INTEGER NOT NULL,
    subject_kind TEXT NOT NULL CHECK (subject_kind IN ('user', 'role')),
    subject_id INTEGER NOT NULL,
    effect TEXT NOT NULL CHECK (effect IN ('allow', 'deny')),
    action TEXT NOT NULL,
    repo TEXT NOT NULL,
    branch TEXT NOT NULL,
    environment TEXT NOT NULL,
    expires_at INTEGER,
    reason TEXT,
    made_by TEXT NOT NULL,
    made_by_name TEXT NOT NULL,
    made_at INTEGER NOT NULL,
    revoked_at INTEGER,
    PRIMARY KEY (guild_id, number)
) STRICT;

CREATE INDEX rule_by_action ON rule (guild_id, action) WHERE revoked_at IS NULL;

-- `repo_key` is the name in lower case: GitHub and Bitbucket ignore case, so two spellings are one repository.
CREATE TABLE repo (
    guild_id INTEGER NOT NULL REFERENCES guild (guild_id),
    repo_key TEXT NOT NULL,
    name TEXT NOT NULL,
    vcs TEXT NOT NULL CHECK (vcs IN ('github', 'bitbucket')),
    project TEXT,
    default_branch TEXT,
    made_by TEXT NOT NULL,
    made_at INTEGER NOT NULL,
    PRIMARY KEY (guild_id, repo_key)
) STRICT;

CREATE TABLE environment (
    guild_id INTEGER NOT NULL,
    repo_key TEXT NOT NULL,
    name TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('pipeline', 'job')),
    job TEXT CHECK ((job IS NOT NULL) = (kind = 'job')),
    definition TEXT,
    template TEXT NOT NULL,
    PRIMARY KEY (guild_id, repo_key, name),
    FOREIGN KEY (guild_id, repo_key) REFERENCES repo (guild_id, repo_key) ON DELETE CASCADE
) STRICT;

-- A deploy keeps what it was asked for, whatever becomes of its repository and environment afterwards.
-- `interaction_id` is what makes a second delivery of the same interaction change nothing.
CREATE TABLE deploy (
    uuid TEXT NOT NULL PRIMARY KEY,
    guild_id INTEGER NOT NULL REFERENCES guild (guild_id),
    number INTEGER NOT NULL,
    interaction_id INTEGER UNIQUE,
    channel_id INTEGER,
    message_id INTEGER,
    actor_id TEXT NOT NULL,
    actor_name TEXT NOT NULL,
    repo TEXT NOT NULL,
    vcs TEXT NOT NULL,
    project TEXT,
    environment TEXT NOT NULL,
    branch TEXT NOT NULL,
    revision TEXT,
    parameters TEXT NOT NULL,
    reason TEXT,
    kind TEXT NOT NULL,
    job TEXT,
    definition TEXT,
    state TEXT NOT NULL,
    said TEXT,
    build_number INTEGER,
    pipeline_id TEXT,
    pipeline_number INTEGER,
    url TEXT,
    asked_at INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,
    UNIQUE (guild_id, number)
) STRICT;

CREATE UNIQUE INDEX deploy_by_pipeline ON deploy (pipeline_id) WHERE pipeline_id IS NOT NULL;
CREATE INDEX deploy_by_state ON deploy (state) WHERE state IN ('awaiting_approval', 'waiting', 'triggering');
CREATE INDEX deploy_by_branch ON deploy (guild_id, repo, changed_at);

-- One chain for each guild; guild 0 is the process itself. docs/audit.md has the bytes that are hashed. No rowid: an
-- INSERT OR REPLACE that named one would take an entry away without any DELETE trigger.
CREATE TABLE audit_log (
    guild_id INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    format INTEGER NOT NULL,
    at INTEGER NOT NULL,
    channel_id INTEGER,
    actor_id TEXT,
    actor_name TEXT,
    action TEXT NOT NULL,
    repo TEXT,
    environment TEXT,
    branch TEXT,
    revision TEXT,
    deploy_id INTEGER,
    outcome TEXT NOT NULL,
    reason TEXT,
    detail TEXT,
    salt TEXT,
    seal TEXT NOT NULL,
    prev_hash TEXT NOT NULL,
    hash TEXT NOT NULL,
    PRIMARY KEY (guild_id, seq)
) STRICT, WITHOUT ROWID;

CREATE INDEX audit_log_by_action ON audit_log (guild_id, action, seq);
CREATE INDEX audit_log_by_actor ON audit_log (guild_id, actor_id, seq);
CREATE INDEX audit_log_by_repo ON audit_log (guild_id, lower(repo), seq);
CREATE INDEX audit_log_by_outcome ON audit_log (guild_id, outcome, seq);

CREATE TRIGGER audit_log_is_never_changed BEFORE UPDATE ON audit_log
BEGIN
    SELECT RAISE(ABORT, 'audit_log is append-only: entries are never changed');
END;

CREATE TRIGGER audit_log_is_never_shortened BEFORE DELETE ON audit_log
BEGIN
    SELECT RAISE(ABORT, 'audit_log is append-only: entries are never deleted');
END;

-- Also refuses INSERT OR REPLACE, which would take an entry away without any DELETE trigger.
CREATE TRIGGER audit_log_only_grows_at_its_end BEFORE INSERT ON audit_log
WHEN NEW.seq <> (SELECT COALESCE(MAX(seq), 0) + 1 FROM audit_log WHERE guild_id = NEW.guild_id)
BEGIN
    SELECT RAISE(ABORT, 'audit_log is append-only: an entry comes after the newest one');
END;

-- What Slipway has noticed of the services and must not forget, such as the day on which v1.1's triggers end.
CREATE TABLE notice (
    name TEXT NOT NULL PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT;
