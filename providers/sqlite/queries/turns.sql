-- The orchestrator queue and the instance locks: fetching, abandoning and renewing a turn.

-- name: enqueue_message
-- One message, unlocked and never tried.
INSERT INTO orchestrator_queue (instance_id, visible_at, created_at, behind, work_item)
VALUES (:instance, :visible_at, :now,
        :visible_at <= :now AND EXISTS (SELECT 1 FROM instance_locks WHERE instance_id = :instance),
        :work_item);

-- name: first_message
-- A place in the order of candidates before which there is none: the first visible message of an instance without
-- a lock or hold, or with one that has run out. Few have run out at any time.
SELECT visible_at, id FROM (
    SELECT * FROM (
        SELECT visible_at, id FROM orchestrator_queue INDEXED BY idx_orch_ready
        WHERE behind = 0 AND visible_at <= :now
          AND NOT EXISTS (
              SELECT 1 FROM instance_locks AS l
              WHERE l.instance_id = orchestrator_queue.instance_id AND l.locked_until > :now)
        ORDER BY visible_at, id LIMIT 1)
    UNION ALL
    SELECT * FROM (
        SELECT m.visible_at, m.id
        FROM instance_locks AS l INDEXED BY idx_instance_locks_until
        CROSS JOIN orchestrator_queue AS m INDEXED BY idx_orch_behind
        WHERE l.locked_until <= :now AND m.instance_id = l.instance_id AND m.behind = 1 AND m.visible_at <= :now
        ORDER BY m.visible_at, m.id LIMIT 1))
ORDER BY visible_at, id LIMIT 1;

-- name: next_candidate
-- The instance after a given place whose earliest visible message is oldest (PV-7.2, PV-7.3): not locked, of a
-- compatible pinned version, and with a context or a chance of one. Without an instance record there is a
-- chance if a history exists, if a visible message begins the instance, or if all of them are queue messages,
-- which are then dropped (PV-7.11, PV-7.13, PV-7.14).
-- Texts are read as bytes here and below: SQLite keeps any bytes as a text, and the codec says which are none.
SELECT q.visible_at, q.id, CASE WHEN typeof(q.instance_id) = 'text' THEN CAST(q.instance_id AS BLOB) END,
       CAST(i.orchestration_name AS BLOB), CAST(i.orchestration_version AS BLOB),
       CASE WHEN typeof(i.current_execution_id) IN ('integer', 'null') THEN i.current_execution_id ELSE 'no number' END
FROM orchestrator_queue AS q
LEFT JOIN instances AS i ON i.instance_id = q.instance_id
LEFT JOIN executions AS e ON e.instance_id = q.instance_id AND e.execution_id = coalesce(
    i.current_execution_id,
    (SELECT max(x.execution_id) FROM executions AS x WHERE x.instance_id = q.instance_id))
WHERE q.visible_at <= :now
  AND (q.visible_at, q.id) > (:after_visible_at, :after_id)
  AND NOT EXISTS (
      SELECT 1 FROM instance_locks AS l WHERE l.instance_id = q.instance_id AND l.locked_until > :now)
  AND (:any_version OR e.duroxide_version_major IS NULL OR (
      (e.duroxide_version_major, e.duroxide_version_minor, e.duroxide_version_patch)
          >= (:min_major, :min_minor, :min_patch)
      AND (e.duroxide_version_major, e.duroxide_version_minor, e.duroxide_version_patch)
          <= (:max_major, :max_minor, :max_patch)))
  AND (i.instance_id IS NOT NULL
      OR EXISTS (SELECT 1 FROM history AS h WHERE h.instance_id = q.instance_id)
      OR EXISTS (
          SELECT 1 FROM orchestrator_queue AS m
          WHERE m.instance_id = q.instance_id AND m.visible_at <= :now
            AND (substr(m.work_item, 1, 21) = '{"StartOrchestration"' OR substr(m.work_item, 1, 16) = '{"ContinueAsNew"'))
      OR NOT EXISTS (
          SELECT 1 FROM orchestrator_queue AS m
          WHERE m.instance_id = q.instance_id AND m.visible_at <= :now
            AND substr(m.work_item, 1, 15) <> '{"QueueMessage"'))
ORDER BY q.visible_at, q.id
LIMIT 1;

-- name: next_change
-- The next time at which a message becomes visible, or the lock or hold of an instance ends (PV-23.6). A
-- column may hold a text, which sorts beyond all numbers.
SELECT min(
    coalesce((SELECT min(visible_at) FROM orchestrator_queue WHERE visible_at > :now AND visible_at <= :never), :never),
    coalesce((SELECT min(locked_until) FROM instance_locks WHERE locked_until > :now AND locked_until <= :never), :never));

-- name: set_message_aside
-- A message that names no instance can never be delivered: it is kept, and never visible again (PV-14.8).
UPDATE orchestrator_queue SET visible_at = :never WHERE id = :id;

-- name: visible_messages
-- The visible messages of an instance, oldest first.
SELECT id, CAST(work_item AS BLOB) FROM orchestrator_queue
WHERE instance_id = :instance AND visible_at <= :now
ORDER BY id;

-- name: drop_visible_messages
-- Delete the visible messages of an instance: queue messages that nobody can ever receive (PV-7.13).
DELETE FROM orchestrator_queue WHERE instance_id = :instance AND visible_at <= :now;

-- name: lock_instance
-- The token locks the instance until the given time; a lapsed lock or hold is replaced (PV-7.6, PV-7.16).
INSERT INTO instance_locks (instance_id, lock_token, locked_until, locked_at)
VALUES (:instance, :token, :locked_until, :now)
ON CONFLICT (instance_id) DO UPDATE
SET lock_token = excluded.lock_token, locked_until = excluded.locked_until, locked_at = excluded.locked_at;

-- name: mark_batch
-- Every visible message of the instance joins the batch, and its attempt is counted (PV-7.7, PV-7.9).
UPDATE orchestrator_queue
SET lock_token = :token, attempt_count = attempt_count + 1, behind = 1
WHERE instance_id = :instance AND visible_at <= :now
RETURNING id, CAST(work_item AS BLOB), attempt_count;

-- name: highest_execution
-- The highest recorded execution of an instance, null if none (PV-7.11).
SELECT max(execution_id) FROM executions WHERE instance_id = :instance;

-- name: execution_history
-- The encoded events of one execution by ascending event number (PV-5.13, PV-7.12).
SELECT CAST(event_data AS BLOB) FROM history
WHERE instance_id = :instance AND execution_id = :execution
ORDER BY event_id;

-- name: settled_key_values
-- The settled layer alone, as a turn sees it (PV-7.17, PV-17.9).
SELECT CAST(key AS BLOB), CAST(value AS BLOB),
       CASE typeof(last_updated_at_ms) WHEN 'integer' THEN last_updated_at_ms ELSE 'no number' END
FROM kv_store WHERE instance_id = :instance ORDER BY key;

-- name: lock_of_token
-- The instance lock that a token names; no token names a hold.
SELECT instance_id, locked_until FROM instance_locks WHERE lock_token = :token AND lock_token <> '';

-- name: extend_instance_lock
-- A new expiry for the instance lock (PV-9.7).
UPDATE instance_locks SET locked_until = :locked_until WHERE instance_id = :instance;

-- name: unlock_instance
-- Delete the instance lock.
DELETE FROM instance_locks WHERE instance_id = :instance;

-- name: uncover_messages
-- The messages of an instance stand behind no lock any more.
UPDATE orchestrator_queue INDEXED BY idx_orch_behind SET behind = 0 WHERE instance_id = :instance AND behind = 1;

-- name: unmark_batch
-- The batch goes back, at its old rank and not visible any earlier than it was (PV-9.1 to PV-9.4). Being
-- visible from now on at the earliest puts it behind what others have waited for, so that an instance that is
-- abandoned again and again does not always go first (PV-28.10).
UPDATE orchestrator_queue
SET lock_token = NULL,
    visible_at = max(visible_at, :visible_at),
    attempt_count = max(attempt_count - :uncount, 0)
WHERE instance_id = :instance AND lock_token = :token;
