-- The worker thread that is captured; NULL: the main thread.
ALTER TABLE jobs ADD COLUMN worker TEXT
	CHECK (length(worker) BETWEEN 1 AND 64);
