-- From version 1 to version 2: the copies that spare a fetch its search, in rows that have none. Columns have been
-- added, tables, indexes and triggers created before this runs. Sessions count as not noted and items as waiting: the
-- next fetch sees which are held and which have waited long enough.
UPDATE worker_queue SET holder = '' WHERE session_id IS NOT NULL;
UPDATE worker_queue SET waits = 1;
UPDATE orchestrator_queue SET behind = 1 WHERE instance_id IN (SELECT instance_id FROM instance_locks);
INSERT OR IGNORE INTO session_holds (instance_id, session_id, locked_until)
SELECT instance_id, session_id, locked_until FROM sessions WHERE worker_id IS NOT NULL;
