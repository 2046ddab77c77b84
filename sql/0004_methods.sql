-- The ways to capture that were tried for a job, or were not usable, in order:
-- [{"method","outcome","reason"}].  The last one is "running" for ever: how it
-- ended is how the job did.  NULL before the preflight, and in older rows.
ALTER TABLE jobs ADD COLUMN attempts TEXT
	CHECK (attempts GLOB '[[]*]' AND length(attempts) <= 16384);

-- What the capture was expected to do to the app: the memory that it has with
-- all that comes on top, and how long it stands still.
ALTER TABLE jobs ADD COLUMN predicted_peak_bytes INTEGER;
ALTER TABLE jobs ADD COLUMN predicted_freeze_ms INTEGER;

-- What is known of an app without capturing anything; one row each.
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

-- Those that nobody asks for any more.
CREATE INDEX looks_begun ON looks (begun_at_ms);
