-- Of a heap profile: the bytes that are allocated between two samples, on the
-- average (NULL: podprof's own choice), and whether only what is still alive at
-- its end is told of.
ALTER TABLE jobs ADD COLUMN sampling_bytes INTEGER
	CHECK (sampling_bytes BETWEEN 1024 AND 16777216);
ALTER TABLE jobs ADD COLUMN live INTEGER NOT NULL DEFAULT 0
	CHECK (live IN (0, 1));

-- One heap profile at a time per thread: V8 has one sampler for each, takes a
-- second start for the first without a word, and ends it for both.
CREATE UNIQUE INDEX jobs_one_heap_profile
	ON jobs (app, pod, coalesce(worker, ''))
	WHERE kind = 'heap-profile' AND holds_target = 1;
