-- Whether an entry may be erased or removed is told by the few entries that record such an act. SQLite, left to choose, looked for them
-- through the whole log, once for each entry that was removed.
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
        SELECT 1 FROM audit_log AS record INDEXED BY audit_log_by_action, json_each(record.detail, '$.redacted') AS redacted
         WHERE record.guild_id = OLD.guild_id AND record.action = 'audit.redacted' AND +record.seq > OLD.seq
           AND redacted.value = OLD.seq
    )
)
BEGIN
    SELECT RAISE(ABORT, 'audit_log is append-only: entries are never changed');
END;

DROP TRIGGER audit_log_is_never_shortened;
CREATE TRIGGER audit_log_is_never_shortened BEFORE DELETE ON audit_log
WHEN NOT EXISTS (
    SELECT 1 FROM audit_log AS record INDEXED BY audit_log_by_action
     WHERE record.guild_id = OLD.guild_id AND record.action = 'audit.archived' AND +record.seq > OLD.seq
       AND json_extract(record.detail, '$.last') >= OLD.seq
)
BEGIN
    SELECT RAISE(ABORT, 'audit_log is append-only: entries are never deleted');
END;
