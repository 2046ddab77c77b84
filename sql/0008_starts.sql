-- Captures that were begun within the last minute, for the limits on that.  Also
-- those that were refused: each had a process of its own.
CREATE TABLE starts (
	at_ms INTEGER NOT NULL,
	app TEXT NOT NULL,
	pod TEXT NOT NULL,
	who TEXT NOT NULL
) STRICT;

CREATE INDEX starts_by_time ON starts (at_ms);
CREATE INDEX starts_of_app ON starts (pod, app, at_ms);
CREATE INDEX starts_of_who ON starts (pod, who, at_ms);
