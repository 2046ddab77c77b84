-- What /metrics tells of jobs, counted as they go: rows of jobs are removed,
-- but what they were counts on.  Method is 'none' where none was chosen.

-- Those that a client can see now, and the bytes of their files.
CREATE TABLE meter_jobs (
	app TEXT NOT NULL,
	pod TEXT NOT NULL,
	kind TEXT NOT NULL,
	method TEXT NOT NULL,
	state TEXT NOT NULL,
	jobs INTEGER NOT NULL,
	stored_bytes INTEGER NOT NULL,
	PRIMARY KEY (pod, app, kind, method, state)
) STRICT, WITHOUT ROWID;

-- All that ever came to an end.  Outcome is the final state, or 'refused' for
-- one that was never accepted.
CREATE TABLE meter_ends (
	app TEXT NOT NULL,
	pod TEXT NOT NULL,
	kind TEXT NOT NULL,
	method TEXT NOT NULL,
	outcome TEXT NOT NULL,
	jobs INTEGER NOT NULL,
	PRIMARY KEY (pod, app, kind, method, outcome)
) STRICT, WITHOUT ROWID;

-- Histograms: a value counts once, at the least bound that is not below it.
CREATE TABLE meter_bounds (
	span TEXT NOT NULL CHECK (span IN ('duration', 'freeze')),
	le_ms INTEGER NOT NULL,
	PRIMARY KEY (span, le_ms)
) STRICT, WITHOUT ROWID;

INSERT INTO meter_bounds (span, le_ms) VALUES
	('duration', 250), ('duration', 500), ('duration', 1000),
	('duration', 2500), ('duration', 5000), ('duration', 10000),
	('duration', 30000), ('duration', 65000), ('duration', 125000),
	('duration', 300000), ('duration', 600000), ('duration', 1800000),
	('duration', 9223372036854775807),
	('freeze', 5), ('freeze', 10), ('freeze', 25), ('freeze', 50),
	('freeze', 100), ('freeze', 250), ('freeze', 500), ('freeze', 1000),
	('freeze', 2500), ('freeze', 5000), ('freeze', 10000),
	('freeze', 30000), ('freeze', 60000),
	('freeze', 9223372036854775807);

-- How long jobs that succeeded took, and how long apps stood still, which the
-- freeze of a worker thread says nothing of.
CREATE TABLE meter_spans (
	app TEXT NOT NULL,
	pod TEXT NOT NULL,
	kind TEXT NOT NULL,
	method TEXT NOT NULL,
	span TEXT NOT NULL,
	le_ms INTEGER NOT NULL,
	jobs INTEGER NOT NULL,
	sum_ms INTEGER NOT NULL,
	PRIMARY KEY (pod, span, app, kind, method, le_ms)
) STRICT, WITHOUT ROWID;

-- Of which pods there is something above, and when each last gave a sign of
-- life: what is counted of one that has gone is not kept for ever.
CREATE TABLE meter_pods (
	pod TEXT PRIMARY KEY,
	seen_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- A job begins as queued, and is seen until it turns out to be refused.
CREATE TRIGGER meter_job_comes AFTER INSERT ON jobs
BEGIN
	INSERT INTO meter_pods (pod, seen_at_ms)
	VALUES (new.pod, new.created_at_ms)
	ON CONFLICT DO UPDATE SET seen_at_ms = excluded.seen_at_ms;
	INSERT INTO meter_jobs
		(app, pod, kind, method, state, jobs, stored_bytes)
	VALUES (new.app, new.pod, new.kind, 'none', new.state, 1, 0)
	ON CONFLICT DO UPDATE SET jobs = jobs + 1;
END;

CREATE TRIGGER meter_job_changes
AFTER UPDATE OF state, used_method, accepted_at_ms, stored_bytes, removed_at_ms
ON jobs
WHEN old.state <> new.state OR old.used_method IS NOT new.used_method
	OR (old.accepted_at_ms IS NULL) <> (new.accepted_at_ms IS NULL)
	OR old.stored_bytes IS NOT new.stored_bytes
	OR (old.removed_at_ms IS NULL) <> (new.removed_at_ms IS NULL)
BEGIN
	INSERT INTO meter_jobs
		(app, pod, kind, method, state, jobs, stored_bytes)
	VALUES (new.app, new.pod, new.kind, coalesce(new.used_method, 'none'),
		new.state,
		new.accepted_at_ms IS NOT NULL OR new.finished_at_ms IS NULL,
		iif(new.removed_at_ms IS NULL,
			coalesce(new.stored_bytes, 0), 0))
	ON CONFLICT DO UPDATE SET jobs = jobs + excluded.jobs,
		stored_bytes = stored_bytes + excluded.stored_bytes;
	UPDATE meter_jobs
	SET jobs = jobs - (old.accepted_at_ms IS NOT NULL
			OR old.finished_at_ms IS NULL),
		stored_bytes = stored_bytes - iif(old.removed_at_ms IS NULL,
			coalesce(old.stored_bytes, 0), 0)
	WHERE pod = old.pod AND app = old.app AND kind = old.kind
		AND method = coalesce(old.used_method, 'none')
		AND state = old.state;
END;

CREATE TRIGGER meter_job_ends AFTER UPDATE OF state ON jobs
WHEN old.finished_at_ms IS NULL AND new.finished_at_ms IS NOT NULL
BEGIN
	INSERT INTO meter_ends (app, pod, kind, method, outcome, jobs)
	VALUES (new.app, new.pod, new.kind, coalesce(new.used_method, 'none'),
		iif(new.state = 'failed' AND new.accepted_at_ms IS NULL,
			'refused', new.state), 1)
	ON CONFLICT DO UPDATE SET jobs = jobs + 1;
END;

CREATE TRIGGER meter_job_succeeds AFTER UPDATE OF state ON jobs
WHEN old.state <> 'succeeded' AND new.state = 'succeeded'
BEGIN
	INSERT INTO meter_spans
		(app, pod, kind, method, span, le_ms, jobs, sum_ms)
	SELECT new.app, new.pod, new.kind, coalesce(new.used_method, 'none'),
		span, min(le_ms), 1,
		max(0, new.finished_at_ms - new.started_at_ms)
	FROM meter_bounds WHERE span = 'duration'
		AND le_ms >= new.finished_at_ms - new.started_at_ms
	ON CONFLICT DO UPDATE SET jobs = jobs + 1,
		sum_ms = sum_ms + excluded.sum_ms;
END;

-- Only then is all known of it, however the job ended.
CREATE TRIGGER meter_job_lets_go AFTER UPDATE OF holds_target ON jobs
WHEN old.holds_target = 1 AND new.holds_target = 0
	AND new.freeze_ms IS NOT NULL AND new.worker IS NULL
BEGIN
	INSERT INTO meter_spans
		(app, pod, kind, method, span, le_ms, jobs, sum_ms)
	SELECT new.app, new.pod, new.kind, coalesce(new.used_method, 'none'),
		span, min(le_ms), 1, new.freeze_ms
	FROM meter_bounds WHERE span = 'freeze' AND le_ms >= new.freeze_ms
	ON CONFLICT DO UPDATE SET jobs = jobs + 1,
		sum_ms = sum_ms + excluded.sum_ms;
END;

CREATE TRIGGER meter_job_goes AFTER DELETE ON jobs
BEGIN
	UPDATE meter_jobs
	SET jobs = jobs - (old.accepted_at_ms IS NOT NULL
			OR old.finished_at_ms IS NULL),
		stored_bytes = stored_bytes - iif(old.removed_at_ms IS NULL,
			coalesce(old.stored_bytes, 0), 0)
	WHERE pod = old.pod AND app = old.app AND kind = old.kind
		AND method = coalesce(old.used_method, 'none')
		AND state = old.state;
END;

INSERT INTO meter_pods (pod, seen_at_ms)
SELECT pod, max(created_at_ms) FROM jobs GROUP BY pod;

INSERT INTO meter_jobs (app, pod, kind, method, state, jobs, stored_bytes)
SELECT app, pod, kind, coalesce(used_method, 'none'), state, count(*),
	coalesce(sum(iif(removed_at_ms IS NULL, stored_bytes, 0)), 0)
FROM jobs WHERE accepted_at_ms IS NOT NULL OR finished_at_ms IS NULL
GROUP BY app, pod, kind, coalesce(used_method, 'none'), state;
