-- Replicas hang on a primary meeting. A transcription is kept as the JSON of its configuration.

ALTER TABLE meetings ADD COLUMN primary_meeting TEXT;
ALTER TABLE meetings ADD COLUMN transcription TEXT;

CREATE INDEX meetings_replicas ON meetings (primary_meeting) WHERE primary_meeting IS NOT NULL AND ended_at IS NULL;
-- The oldest live meetings of all accounts: those that may be due to end.
CREATE INDEX meetings_by_age ON meetings (created_at) WHERE ended_at IS NULL;
