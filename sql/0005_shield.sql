-- When an app is shown as alive although it stands still, and as not ready
-- before that.  All three are NULL for a capture that blocks nobody.

-- Since when it is not ready, from when it may stand still, and until when it
-- is believed to: a lease, which podprof-capture renews.
ALTER TABLE jobs ADD COLUMN shield_from_ms INTEGER;
ALTER TABLE jobs ADD COLUMN drain_until_ms INTEGER;
ALTER TABLE jobs ADD COLUMN shield_until_ms INTEGER;

-- Those that a probe asks for.
CREATE INDEX jobs_shielding ON jobs (app, pod, shield_until_ms)
	WHERE shield_until_ms IS NOT NULL;
