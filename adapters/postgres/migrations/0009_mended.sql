-- A dead letter of customs may be replayed with a mended body: it stands beside the original, which never changes.
-- Who mended it, when and why stands with the decision.
ALTER TABLE origin.dead_letter ADD COLUMN mended bytea;

-- Certificates of which a paper stands still until somebody mends something (gateway/core/state.py, Paper.trouble).
CREATE INDEX certificate_stuck ON origin.certificate (id)
    WHERE state #>> '{papers,original,trouble}' <> '' OR state #>> '{papers,copy,trouble}' <> '';
