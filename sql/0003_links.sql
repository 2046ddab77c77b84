-- Addresses that serve one artifact without a token, for a short time.  Only
-- the digest of what is secret in them is kept.
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
