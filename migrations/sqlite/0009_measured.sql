-- What the statistics read of the deploys that ended, in the order in which they did, without the rows themselves, which are long.
CREATE INDEX deploy_measured
    ON deploy (guild_id, ended_at, number, repo, environment, branch, state, origin, replaces_number, asked_at)
    WHERE state IN ('succeeded', 'failed');
