-- What a search for a lost build asks: which runs the deploys of late hold, and which deploys of a branch have none.
CREATE INDEX deploy_pipelines_by_change ON deploy (changed_at, pipeline_id) WHERE pipeline_id IS NOT NULL;
CREATE INDEX deploy_builds_by_change ON deploy (lower(repo), changed_at, build_number) WHERE build_number IS NOT NULL;
CREATE INDEX deploy_without_run ON deploy (lower(repo), branch, asked_at)
    WHERE build_number IS NULL AND pipeline_id IS NULL AND state IN ('triggering', 'unknown');

-- What is live somewhere, and what is on its way there.
DROP INDEX deploy_succeeded;
CREATE INDEX deploy_succeeded ON deploy (guild_id, lower(repo), environment, ended_at, number) WHERE state = 'succeeded';
CREATE INDEX deploy_under_way ON deploy (guild_id, lower(repo), environment)
    WHERE state IN ('awaiting_approval', 'waiting', 'queued', 'running');

-- A decision reads the rules about one person and the roles that they hold, however many there are about others.
DROP INDEX rule_by_action;
CREATE INDEX rule_by_subject ON rule (guild_id, action, subject_kind, subject_id) WHERE revoked_at IS NULL;
