-- What people did to a deploy: canceled it, approved what waited, had it run again. JSON, the first one first.
ALTER TABLE deploy ADD COLUMN acts TEXT NOT NULL DEFAULT '[]';

CREATE INDEX deploy_by_origin ON deploy (guild_id, origin_number) WHERE origin_number IS NOT NULL;
CREATE INDEX deploy_by_repo ON deploy (guild_id, lower(repo), environment, number);
