-- Which values of two columns stand together in the entries of each 4,096 of a chain, once there are as many: what is noted of them
-- (src/audit/block.rs), a row for each two columns, lets a search pass by the blocks in which two values that each stand in many entries
-- never meet. Where nothing is noted, nothing is passed by.
CREATE TABLE audit_met (
    guild_id INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    block INTEGER NOT NULL,
    pairs BLOB NOT NULL,
    PRIMARY KEY (guild_id, kind, block)
) STRICT, WITHOUT ROWID;
