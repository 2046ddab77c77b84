-- How a file is stored: as it was captured, or as zstd frames with a table to
-- find them by.  NULL while there is none.
ALTER TABLE jobs ADD COLUMN coding TEXT
	CHECK (coding IN ('identity', 'zstd'));
UPDATE jobs SET coding = 'identity' WHERE state = 'succeeded';

-- Whether the app is occupied by it: while the job is active, and after it was
-- canceled for as long as V8 goes on with what cannot be stopped.
ALTER TABLE jobs ADD COLUMN holds_target INTEGER NOT NULL DEFAULT 1
	CHECK (holds_target IN (0, 1));
UPDATE jobs SET holds_target = 0 WHERE finished_at_ms IS NOT NULL;

-- The size of the file as it was expected before it was begun; what is kept
-- free for it in the store; what is written by now, as it is stored.
ALTER TABLE jobs ADD COLUMN predicted_bytes INTEGER;
ALTER TABLE jobs ADD COLUMN reserved_bytes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN written_bytes INTEGER NOT NULL DEFAULT 0;

-- Why a file that was there is no more.
ALTER TABLE jobs ADD COLUMN removed_because TEXT
	CHECK (removed_because IN ('expired', 'room', 'lost'));

-- The requester's own name for the order, and the digest of its body.
ALTER TABLE jobs ADD COLUMN idempotency_key TEXT
	CHECK (length(idempotency_key) BETWEEN 1 AND 255);
ALTER TABLE jobs ADD COLUMN idempotency_sha256 TEXT
	CHECK (length(idempotency_sha256) = 64);
CREATE UNIQUE INDEX jobs_one_key ON jobs (app, pod, idempotency_key)
	WHERE idempotency_key IS NOT NULL;

-- One heap snapshot at a time per target: V8 would run two one after the
-- other, and freeze the app twice as long.
DROP INDEX jobs_one_snapshot;
CREATE UNIQUE INDEX jobs_one_snapshot ON jobs (app, pod)
	WHERE kind = 'heap-snapshot' AND holds_target = 1;

DROP INDEX jobs_active;
CREATE INDEX jobs_holding ON jobs (id) WHERE holds_target = 1;

-- Lists, by each filter: none may read rows that it does not show.
CREATE INDEX jobs_listed ON jobs (app, pod, seq);
CREATE INDEX jobs_by_state ON jobs (app, pod, state, seq);
CREATE INDEX jobs_by_kind_and_state ON jobs (app, pod, kind, state, seq);

-- Files that are there: by the time they go, and by the order in which they
-- make room.
DROP INDEX jobs_unremoved;
CREATE INDEX jobs_expiring ON jobs (expires_at_ms, id)
	WHERE state = 'succeeded' AND removed_at_ms IS NULL;
CREATE INDEX jobs_stored ON jobs (delivered_at_ms IS NULL, seq)
	WHERE state = 'succeeded' AND removed_at_ms IS NULL;
-- Their bytes, added up without a look at the rows.
CREATE INDEX jobs_stored_bytes ON jobs (state, removed_at_ms, stored_bytes)
	WHERE state = 'succeeded' AND removed_at_ms IS NULL;
-- What did not succeed and may have left files.
CREATE INDEX jobs_littering ON jobs (id)
	WHERE state IN ('failed', 'canceled') AND removed_at_ms IS NULL;
-- Rows by the order in which they make room.
CREATE INDEX jobs_over ON jobs (delivered_at_ms IS NULL, seq)
	WHERE finished_at_ms IS NOT NULL;
