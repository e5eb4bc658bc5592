-- The inspection hooks (PV-33.2).

-- name: session_records
-- All session rows.
SELECT instance_id, session_id, worker_id, locked_until FROM sessions ORDER BY instance_id, session_id;

-- name: worker_rows
-- All worker rows.
SELECT id, CAST(work_item AS BLOB), session_id, lock_token, locked_until, visible_at, attempt_count, claimed_by
FROM worker_queue ORDER BY id;

-- name: max_attempt_count
-- The highest attempt count among the messages of an instance.
SELECT coalesce(max(attempt_count), 0) FROM orchestrator_queue WHERE instance_id = :instance;

-- name: corrupt_history
-- Every stored event of an instance becomes undecodable.
UPDATE history SET event_data = :damage WHERE instance_id = :instance;

-- name: corrupt_message
-- The oldest message of an instance becomes undecodable.
UPDATE orchestrator_queue SET work_item = :damage
WHERE id = (SELECT min(id) FROM orchestrator_queue WHERE instance_id = :instance);

-- name: corrupt_worker_row
-- The oldest worker item of an instance becomes undecodable.
UPDATE worker_queue SET work_item = :damage
WHERE id = (SELECT min(id) FROM worker_queue WHERE instance_id = :instance);

-- name: columns
-- The columns of a table.
SELECT name, type, "notnull", pk FROM pragma_table_info(:table) ORDER BY cid;

-- name: indexes
-- The indexes of a table, with their columns in order.
SELECT l.name, i.name FROM pragma_index_list(:table) AS l, pragma_index_info(l.name) AS i
WHERE l.origin = 'c' ORDER BY l.name, i.seqno;

-- name: event_types
-- The type column of an instance's history.
SELECT event_type FROM history WHERE instance_id = :instance ORDER BY execution_id, event_id;
