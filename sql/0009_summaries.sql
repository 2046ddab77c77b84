-- What heap snapshots hold by class, for those that somebody wanted to know it
-- of.  It outlives the file, and goes with the job.
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
