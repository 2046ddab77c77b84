-- The tables, indexes and triggers after all migrations, for
-- reading.  Made by tests/lint/schema.sh, which says how.

CREATE TABLE jobs (
	-- Counts in the order of creation, whatever the clocks say.
	seq INTEGER PRIMARY KEY,
	id TEXT NOT NULL UNIQUE CHECK (length(id) = 36),
	app TEXT NOT NULL CHECK (length(app) BETWEEN 1 AND 64),
	pod TEXT NOT NULL CHECK (length(pod) BETWEEN 1 AND 253),
	kind TEXT NOT NULL
		CHECK (kind IN ('heap-snapshot', 'cpu-profile', 'heap-profile')),
	state TEXT NOT NULL DEFAULT 'queued' CHECK (state IN
		('queued', 'running', 'succeeded', 'failed', 'canceled')),
	-- What podprof-capture is at; NULL unless the job is running.
	phase TEXT CHECK (phase IN
		('preflight', 'starting', 'profiling', 'writing', 'finishing')),
	-- Counts every change that somebody may wait for.
	revision INTEGER NOT NULL DEFAULT 1,

	-- What was asked for.
	method TEXT NOT NULL CHECK (method IN ('auto', 'fork', 'direct', 'stream')),
	duration_ms INTEGER CHECK (duration_ms BETWEEN 100 AND 120000),
	interval_us INTEGER CHECK (interval_us BETWEEN 50 AND 100000),
	force INTEGER NOT NULL DEFAULT 0 CHECK (force IN (0, 1)),
	requested_by TEXT NOT NULL,
	request_id TEXT NOT NULL,

	created_at_ms INTEGER NOT NULL,
	-- Set once the preflight went well, or took longer than the requester
	-- waits.  A job that fails before leaves no trace: nobody was told of it.
	accepted_at_ms INTEGER,
	started_at_ms INTEGER,
	finished_at_ms INTEGER,
	expires_at_ms INTEGER,

	-- The process that works on it: see src/proc.h.
	runner_pid INTEGER,
	runner_start_ticks INTEGER,
	runner_host TEXT,
	lease_until_ms INTEGER NOT NULL,

	-- What was found out about the app and this capture.
	used_method TEXT CHECK (used_method IN ('fork', 'direct', 'stream')),
	target_pid INTEGER,
	target_node TEXT,
	progress_done INTEGER,
	progress_total INTEGER,
	progress_bytes INTEGER NOT NULL DEFAULT 0,
	freeze_ms INTEGER,
	memory_before_bytes INTEGER,
	memory_peak_bytes INTEGER,
	memory_after_bytes INTEGER,

	-- The file; name is what clients save it as.
	artifact_name TEXT NOT NULL,
	size_bytes INTEGER,
	stored_bytes INTEGER,
	sha256 TEXT CHECK (length(sha256) = 64),
	stored_sha256 TEXT CHECK (length(stored_sha256) = 64),
	delivered_at_ms INTEGER,
	-- Set once no file of the job is left, of a failed one as well: where it
	-- is NULL after the end, somebody died before he had removed them.
	removed_at_ms INTEGER,

	-- Why it failed: a name of src/err.h and a sentence.
	error TEXT,
	error_detail TEXT, coding TEXT
	CHECK (coding IN ('identity', 'zstd')), holds_target INTEGER NOT NULL DEFAULT 1
	CHECK (holds_target IN (0, 1)), predicted_bytes INTEGER, reserved_bytes INTEGER NOT NULL DEFAULT 0, written_bytes INTEGER NOT NULL DEFAULT 0, removed_because TEXT
	CHECK (removed_because IN ('expired', 'room', 'lost')), idempotency_key TEXT
	CHECK (length(idempotency_key) BETWEEN 1 AND 255), idempotency_sha256 TEXT
	CHECK (length(idempotency_sha256) = 64), attempts TEXT
	CHECK (attempts GLOB '[[]*]' AND length(attempts) <= 16384), predicted_peak_bytes INTEGER, predicted_freeze_ms INTEGER, shield_from_ms INTEGER, drain_until_ms INTEGER, shield_until_ms INTEGER, worker TEXT
	CHECK (length(worker) BETWEEN 1 AND 64), sampling_bytes INTEGER
	CHECK (sampling_bytes BETWEEN 1024 AND 16777216), live INTEGER NOT NULL DEFAULT 0
	CHECK (live IN (0, 1)),

	CHECK ((state IN ('queued', 'running')) = (finished_at_ms IS NULL)),
	CHECK (state = 'queued' OR started_at_ms IS NOT NULL
		OR state IN ('failed', 'canceled')),
	CHECK (state <> 'running' OR runner_pid IS NOT NULL),
	CHECK ((state = 'running') = (phase IS NOT NULL)),
	CHECK ((state = 'succeeded') = (sha256 IS NOT NULL)),
	CHECK ((state = 'succeeded') = (size_bytes IS NOT NULL)),
	CHECK ((state = 'failed') = (error IS NOT NULL)),
	CHECK (kind = 'heap-snapshot' OR duration_ms IS NOT NULL),
	CHECK (delivered_at_ms IS NULL OR state = 'succeeded'),
	CHECK (removed_at_ms IS NULL OR finished_at_ms IS NOT NULL),
	CHECK (accepted_at_ms IS NOT NULL OR state <> 'succeeded')
) STRICT;

CREATE INDEX jobs_newest ON jobs (app, pod, kind, seq);

CREATE INDEX jobs_unaccepted ON jobs (finished_at_ms)
	WHERE accepted_at_ms IS NULL AND finished_at_ms IS NOT NULL;

CREATE TRIGGER jobs_state_begins BEFORE INSERT ON jobs
WHEN new.state <> 'queued'
BEGIN
	SELECT RAISE(ABORT, 'a job begins as queued');
END;

CREATE TRIGGER jobs_state_moves BEFORE UPDATE OF state ON jobs
WHEN NOT (
	(old.state = new.state AND old.state IN ('queued', 'running'))
	OR (old.state = 'queued' AND new.state IN ('running', 'failed', 'canceled'))
	OR (old.state = 'running'
		AND new.state IN ('succeeded', 'failed', 'canceled')))
BEGIN
	SELECT RAISE(ABORT,
		'a job goes from queued to running to its end, and no other way');
END;

CREATE TRIGGER jobs_identity_stays
BEFORE UPDATE OF id, app, pod, kind, created_at_ms ON jobs
BEGIN
	SELECT RAISE(ABORT, 'a job keeps its identity');
END;

CREATE UNIQUE INDEX jobs_one_key ON jobs (app, pod, idempotency_key)
	WHERE idempotency_key IS NOT NULL;

CREATE UNIQUE INDEX jobs_one_snapshot ON jobs (app, pod)
	WHERE kind = 'heap-snapshot' AND holds_target = 1;

CREATE INDEX jobs_holding ON jobs (id) WHERE holds_target = 1;

CREATE INDEX jobs_listed ON jobs (app, pod, seq);

CREATE INDEX jobs_by_state ON jobs (app, pod, state, seq);

CREATE INDEX jobs_by_kind_and_state ON jobs (app, pod, kind, state, seq);

CREATE INDEX jobs_expiring ON jobs (expires_at_ms, id)
	WHERE state = 'succeeded' AND removed_at_ms IS NULL;

CREATE INDEX jobs_stored ON jobs (delivered_at_ms IS NULL, seq)
	WHERE state = 'succeeded' AND removed_at_ms IS NULL;

CREATE INDEX jobs_stored_bytes ON jobs (state, removed_at_ms, stored_bytes)
	WHERE state = 'succeeded' AND removed_at_ms IS NULL;

CREATE INDEX jobs_littering ON jobs (id)
	WHERE state IN ('failed', 'canceled') AND removed_at_ms IS NULL;

CREATE INDEX jobs_over ON jobs (delivered_at_ms IS NULL, seq)
	WHERE finished_at_ms IS NOT NULL;

CREATE TABLE links (
	secret_sha256 TEXT PRIMARY KEY CHECK (length(secret_sha256) = 64),
	job_id TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
	-- The job's: it is part of the address.
	app TEXT NOT NULL,
	created_by TEXT NOT NULL,
	expires_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX links_of_job ON links (job_id);

CREATE INDEX links_expiring ON links (expires_at_ms);

CREATE TABLE looks (
	app TEXT NOT NULL CHECK (length(app) BETWEEN 1 AND 64),
	pod TEXT NOT NULL CHECK (length(pod) BETWEEN 1 AND 253),
	-- Counts the answers, from 1 when somebody first asked.
	revision INTEGER NOT NULL DEFAULT 1 CHECK (revision >= 1),
	-- When podprof-capture was last sent to find out.
	begun_at_ms INTEGER NOT NULL,
	-- What it found, in the form of the API, and when.
	answered_at_ms INTEGER,
	answer TEXT CHECK (answer GLOB '{*}' AND length(answer) <= 32768),

	PRIMARY KEY (app, pod),
	CHECK ((answer IS NULL) = (answered_at_ms IS NULL))
) STRICT, WITHOUT ROWID;

CREATE INDEX looks_begun ON looks (begun_at_ms);

CREATE INDEX jobs_shielding ON jobs (app, pod, shield_until_ms)
	WHERE shield_until_ms IS NOT NULL;

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

CREATE TABLE meter_ends (
	app TEXT NOT NULL,
	pod TEXT NOT NULL,
	kind TEXT NOT NULL,
	method TEXT NOT NULL,
	outcome TEXT NOT NULL,
	jobs INTEGER NOT NULL,
	PRIMARY KEY (pod, app, kind, method, outcome)
) STRICT, WITHOUT ROWID;

CREATE TABLE meter_bounds (
	span TEXT NOT NULL CHECK (span IN ('duration', 'freeze')),
	le_ms INTEGER NOT NULL,
	PRIMARY KEY (span, le_ms)
) STRICT, WITHOUT ROWID;

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

CREATE TABLE meter_pods (
	pod TEXT PRIMARY KEY,
	seen_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

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

CREATE TABLE starts (
	at_ms INTEGER NOT NULL,
	app TEXT NOT NULL,
	pod TEXT NOT NULL,
	who TEXT NOT NULL
) STRICT;

CREATE INDEX starts_by_time ON starts (at_ms);

CREATE INDEX starts_of_app ON starts (pod, app, at_ms);

CREATE INDEX starts_of_who ON starts (pod, who, at_ms);

CREATE TABLE summaries (
	-- Counts in the order in which they were begun.
	seq INTEGER PRIMARY KEY,
	job_id TEXT NOT NULL UNIQUE REFERENCES jobs (id) ON DELETE CASCADE,
	-- The job's: a pod makes one at a time.
	app TEXT NOT NULL,
	pod TEXT NOT NULL,
	state TEXT NOT NULL DEFAULT 'begun'
		CHECK (state IN ('begun', 'running', 'ready', 'failed')),
	-- Whoever makes it says so now and then: see src/proc.h.
	lease_until_ms INTEGER NOT NULL,
	runner_pid INTEGER,
	runner_start_ticks INTEGER,
	runner_host TEXT,

	nodes INTEGER,
	edges INTEGER,
	self_size_bytes INTEGER,
	classes INTEGER,	-- rows of its own

	-- Why it failed: a name of src/err.h and a sentence.
	error TEXT,
	error_detail TEXT,

	CHECK (state <> 'running' OR runner_pid IS NOT NULL),
	CHECK ((state = 'ready') = (nodes IS NOT NULL)),
	CHECK ((state = 'ready') = (edges IS NOT NULL)),
	CHECK ((state = 'ready') = (self_size_bytes IS NOT NULL)),
	CHECK ((state = 'ready') = (classes IS NOT NULL)),
	CHECK ((state = 'failed') = (error IS NOT NULL))
) STRICT;

CREATE TABLE classes (
	summary INTEGER NOT NULL REFERENCES summaries (seq) ON DELETE CASCADE,
	name TEXT NOT NULL,
	count INTEGER NOT NULL CHECK (count > 0),
	self_size_bytes INTEGER NOT NULL CHECK (self_size_bytes >= 0),
	PRIMARY KEY (summary, name)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX jobs_one_heap_profile
	ON jobs (app, pod, coalesce(worker, ''))
	WHERE kind = 'heap-profile' AND holds_target = 1;
