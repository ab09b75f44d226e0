-- What is being sent keeps its channel, and the message behind which it is looked for, so that it is found out also when the channel is
-- changed meanwhile. `message_id` is the last message that has arrived in `channel_id`. With entry `ends` the channel was turned off, and
-- is told so. `why` says why nothing arrives.
ALTER TABLE audit_delivery ADD COLUMN sending_channel INTEGER;
ALTER TABLE audit_delivery ADD COLUMN sending_after INTEGER;
ALTER TABLE audit_delivery ADD COLUMN message_id INTEGER;
ALTER TABLE audit_delivery ADD COLUMN ends INTEGER;
ALTER TABLE audit_delivery ADD COLUMN why TEXT;
