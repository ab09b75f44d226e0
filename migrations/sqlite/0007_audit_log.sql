-- What the audit log is asked by. Letters A to Z match in either case, so the columns that people name are indexed that way; plain
-- columns rather than lower(…), so that an index alone answers where an entry stands.
DROP INDEX audit_log_by_action;
DROP INDEX audit_log_by_actor;
DROP INDEX audit_log_by_repo;
CREATE INDEX audit_log_by_action ON audit_log (guild_id, action, outcome, seq);
CREATE INDEX audit_log_by_actor ON audit_log (guild_id, actor_id COLLATE NOCASE, seq);
CREATE INDEX audit_log_by_name ON audit_log (guild_id, actor_name COLLATE NOCASE, seq);
CREATE INDEX audit_log_by_repo ON audit_log (guild_id, repo COLLATE NOCASE, seq) WHERE repo IS NOT NULL;
CREATE INDEX audit_log_by_environment ON audit_log (guild_id, environment COLLATE NOCASE, seq) WHERE environment IS NOT NULL;
CREATE INDEX audit_log_by_branch ON audit_log (guild_id, branch COLLATE NOCASE, seq) WHERE branch IS NOT NULL;
CREATE INDEX audit_log_by_revision ON audit_log (guild_id, revision COLLATE NOCASE, seq) WHERE revision IS NOT NULL;
CREATE INDEX audit_log_by_deploy ON audit_log (guild_id, deploy_id, seq) WHERE deploy_id IS NOT NULL;

-- The newest entry of each chain, a second time: so that a tail that was cut off is missed.
CREATE TABLE audit_head (
    guild_id INTEGER NOT NULL PRIMARY KEY,
    seq INTEGER NOT NULL,
    hash TEXT NOT NULL
) STRICT;
INSERT INTO audit_head (guild_id, seq, hash)
    SELECT guild_id, seq, hash FROM audit_log AS entry
     WHERE seq = (SELECT MAX(seq) FROM audit_log WHERE guild_id = entry.guild_id);

-- The times between which each 1,024 entries of a chain lie, once there are as many: clocks go back now and then, so the order of
-- numbers is not the order of times.
CREATE TABLE audit_span (
    guild_id INTEGER NOT NULL,
    block INTEGER NOT NULL,
    at_min INTEGER NOT NULL,
    at_max INTEGER NOT NULL,
    PRIMARY KEY (guild_id, block)
) STRICT, WITHOUT ROWID;
INSERT INTO audit_span (guild_id, block, at_min, at_max)
    SELECT guild_id, seq / 1024, MIN(at), MAX(at) FROM audit_log AS entry
     WHERE seq / 1024 < (SELECT MAX(seq) + 1 FROM audit_log WHERE guild_id = entry.guild_id) / 1024
     GROUP BY guild_id, seq / 1024;

CREATE TRIGGER audit_log_has_a_head AFTER INSERT ON audit_log
BEGIN
    INSERT INTO audit_head (guild_id, seq, hash) VALUES (NEW.guild_id, NEW.seq, NEW.hash)
        ON CONFLICT (guild_id) DO UPDATE SET seq = excluded.seq, hash = excluded.hash;
END;

CREATE TRIGGER audit_log_has_spans AFTER INSERT ON audit_log
WHEN (NEW.seq + 1) % 1024 = 0
BEGIN
    INSERT INTO audit_span (guild_id, block, at_min, at_max)
        SELECT NEW.guild_id, NEW.seq / 1024, MIN(at), MAX(at) FROM audit_log
         WHERE guild_id = NEW.guild_id AND seq BETWEEN NEW.seq - 1023 AND NEW.seq
        ON CONFLICT (guild_id, block) DO UPDATE SET at_min = excluded.at_min, at_max = excluded.at_max;
END;

-- What people wrote in an entry may be erased together with its salt, once a later entry says so; nothing else changes ever.
DROP TRIGGER audit_log_is_never_changed;
CREATE TRIGGER audit_log_is_never_changed BEFORE UPDATE ON audit_log
WHEN NOT (
    NEW.guild_id = OLD.guild_id AND NEW.seq = OLD.seq AND NEW.format = OLD.format AND NEW.at = OLD.at
    AND NEW.channel_id IS OLD.channel_id AND NEW.actor_id IS OLD.actor_id AND NEW.action = OLD.action
    AND NEW.repo IS OLD.repo AND NEW.environment IS OLD.environment AND NEW.branch IS OLD.branch
    AND NEW.revision IS OLD.revision AND NEW.deploy_id IS OLD.deploy_id AND NEW.outcome = OLD.outcome
    AND NEW.seal = OLD.seal AND NEW.prev_hash = OLD.prev_hash AND NEW.hash = OLD.hash
    AND NEW.actor_name IS NULL AND NEW.reason IS NULL AND NEW.detail IS NULL AND NEW.salt IS NULL
    AND EXISTS (
        SELECT 1 FROM audit_log AS record, json_each(record.detail, '$.redacted') AS redacted
         WHERE record.guild_id = OLD.guild_id AND record.action = 'audit.redacted' AND +record.seq > OLD.seq
           AND redacted.value = OLD.seq
    )
)
BEGIN
    SELECT RAISE(ABORT, 'audit_log is append-only: entries are never changed');
END;

-- The oldest entries may go once a later entry says that they are archived; no others ever.
DROP TRIGGER audit_log_is_never_shortened;
CREATE TRIGGER audit_log_is_never_shortened BEFORE DELETE ON audit_log
WHEN NOT EXISTS (
    SELECT 1 FROM audit_log AS record
     WHERE record.guild_id = OLD.guild_id AND record.action = 'audit.archived' AND +record.seq > OLD.seq
       AND json_extract(record.detail, '$.last') >= OLD.seq
)
BEGIN
    SELECT RAISE(ABORT, 'audit_log is append-only: entries are never deleted');
END;

-- Queries that were saved, under names in lower case.
CREATE TABLE audit_query (
    guild_id INTEGER NOT NULL REFERENCES guild (guild_id),
    name TEXT NOT NULL,
    query TEXT NOT NULL,
    made_by TEXT NOT NULL,
    made_by_name TEXT NOT NULL,
    made_at INTEGER NOT NULL,
    PRIMARY KEY (guild_id, name)
) STRICT;
