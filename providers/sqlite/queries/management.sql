-- Inspecting, deleting and pruning instances.

-- name: instances
-- All instances, newest creation first (PV-19.1).
SELECT instance_id FROM instances ORDER BY created_at DESC, rowid DESC;

-- name: instances_by_status
-- Those whose current execution has a status, in the same order (PV-19.2).
SELECT i.instance_id FROM instances AS i
JOIN executions AS e ON e.instance_id = i.instance_id AND e.execution_id = i.current_execution_id
WHERE e.status = :status
ORDER BY i.created_at DESC, i.rowid DESC;

-- name: executions
-- The recorded execution numbers of an instance, ascending (PV-19.3).
SELECT execution_id FROM executions WHERE instance_id = :instance ORDER BY execution_id;

-- name: instance_info
-- An instance record with status and output of its current execution (PV-19.5).
SELECT i.instance_id, CAST(i.orchestration_name AS TEXT), CAST(coalesce(i.orchestration_version, 'unknown') AS TEXT),
       i.current_execution_id, CAST(coalesce(e.status, 'Unknown') AS TEXT), CAST(e.output AS TEXT), i.created_at, i.updated_at,
       i.parent_instance_id
FROM instances AS i
LEFT JOIN executions AS e ON e.instance_id = i.instance_id AND e.execution_id = i.current_execution_id
WHERE i.instance_id = :instance;

-- name: execution_info
-- An execution record and the number of its events (PV-19.7).
SELECT e.execution_id, CAST(e.status AS TEXT), CAST(e.output AS TEXT), e.started_at, e.completed_at,
       (SELECT count(*) FROM history AS h
        WHERE h.instance_id = e.instance_id AND h.execution_id = e.execution_id)
FROM executions AS e
WHERE e.instance_id = :instance AND e.execution_id = :execution;

-- name: system_metrics
-- Counts over the whole store, instances by the status of their current execution (PV-19.8).
SELECT (SELECT count(*) FROM instances),
       (SELECT count(*) FROM executions),
       count(*) FILTER (WHERE e.status = 'Running'),
       count(*) FILTER (WHERE e.status = 'Completed'),
       count(*) FILTER (WHERE e.status = 'Failed'),
       (SELECT count(*) FROM history)
FROM instances AS i
JOIN executions AS e ON e.instance_id = i.instance_id AND e.execution_id = i.current_execution_id;

-- name: queue_depths
-- Rows no live lock holds, visible or not. A message is held if its mark is that of a live instance lock
-- (PV-19.9).
SELECT (SELECT count(*) FROM orchestrator_queue AS q
        WHERE NOT EXISTS (SELECT 1 FROM instance_locks AS l
                          WHERE l.instance_id = q.instance_id AND l.lock_token = q.lock_token
                            AND l.locked_until > :now)),
       (SELECT count(*) FROM worker_queue AS w
        WHERE w.set_aside = 0 AND (w.locked_until IS NULL OR w.locked_until <= :now));

-- name: children
-- The instances whose parent is a given one (PV-20.1).
SELECT instance_id FROM instances WHERE parent_instance_id = :instance ORDER BY instance_id;

-- name: parent
-- The parent of an instance, and whether that exists (PV-20.2, PV-20.10).
SELECT i.parent_instance_id, p.instance_id IS NOT NULL
FROM instances AS i LEFT JOIN instances AS p ON p.instance_id = i.parent_instance_id
WHERE i.instance_id = :instance;

-- name: tree
-- An instance and its descendants. UNION drops repeated rows, so that circular links end (PV-20.3).
WITH RECURSIVE tree (instance_id) AS (
    VALUES (:instance)
    UNION
    SELECT i.instance_id FROM instances AS i JOIN tree AS t ON i.parent_instance_id = t.instance_id)
SELECT instance_id FROM tree;

-- name: finished_roots
-- Roots whose current execution has ended the instance, earliest completion first (PV-21.1, 21.3, 21.4). A root
-- has no parent, or one that no longer exists (PV-20.10).
SELECT i.instance_id FROM instances AS i
JOIN executions AS e ON e.instance_id = i.instance_id AND e.execution_id = i.current_execution_id
WHERE e.status IN ('Completed', 'Failed')
  AND (:completed_before IS NULL OR e.completed_at < :completed_before)
  AND (i.parent_instance_id IS NULL
       OR NOT EXISTS (SELECT 1 FROM instances AS p WHERE p.instance_id = i.parent_instance_id))
ORDER BY e.completed_at, i.instance_id;

-- name: prunable_instances
-- All instances, of any status; with a time only those whose current execution was completed before it
-- (PV-22.8).
SELECT i.instance_id FROM instances AS i
LEFT JOIN executions AS e ON e.instance_id = i.instance_id AND e.execution_id = i.current_execution_id
WHERE :completed_before IS NULL OR e.completed_at < :completed_before
ORDER BY e.completed_at, i.instance_id;

-- name: current_status
-- The status of the current execution of an instance; no row if the instance is unknown.
SELECT coalesce(e.status, 'Unknown') FROM instances AS i
LEFT JOIN executions AS e ON e.instance_id = i.instance_id AND e.execution_id = i.current_execution_id
WHERE i.instance_id = :instance;

-- name: delete_messages
-- The messages for an instance.
DELETE FROM orchestrator_queue WHERE instance_id = :instance;

-- name: delete_work
-- The activities of an instance.
DELETE FROM worker_queue WHERE instance_id = :instance;

-- name: delete_history
-- The events of an instance.
DELETE FROM history WHERE instance_id = :instance;

-- name: delete_executions
-- The executions of an instance.
DELETE FROM executions WHERE instance_id = :instance;

-- name: delete_lock
-- The instance lock, or the hold.
DELETE FROM instance_locks WHERE instance_id = :instance;

-- name: delete_sessions
-- The sessions of an instance (PV-25.15).
DELETE FROM sessions WHERE instance_id = :instance;

-- name: delete_settled_keys
-- The settled key-values of an instance.
DELETE FROM kv_store WHERE instance_id = :instance;

-- name: delete_changed_keys
-- The key-value changes of an instance.
DELETE FROM kv_delta WHERE instance_id = :instance;

-- name: delete_instance
-- The instance record itself.
DELETE FROM instances WHERE instance_id = :instance;

-- name: waiting_starts
-- Start messages, which may be those of children of a deleted parent (PV-20.14).
SELECT id, CAST(work_item AS BLOB) FROM orchestrator_queue WHERE substr(work_item, 1, 21) = '{"StartOrchestration"';

-- name: delete_message
-- One message.
DELETE FROM orchestrator_queue WHERE id = :id;

-- name: old_executions
-- Executions that may be pruned: not current, not running, not among the newest to keep, completed early enough
-- (PV-22.2 to PV-22.4).
SELECT e.execution_id FROM executions AS e
JOIN instances AS i ON i.instance_id = e.instance_id
WHERE e.instance_id = :instance
  AND e.execution_id <> i.current_execution_id
  AND e.status <> 'Running'
  AND (:completed_before IS NULL OR e.completed_at < :completed_before)
  AND e.execution_id NOT IN (
      SELECT n.execution_id FROM executions AS n WHERE n.instance_id = :instance
      ORDER BY n.execution_id DESC LIMIT :keep)
ORDER BY e.execution_id;

-- name: delete_execution
-- One execution record.
DELETE FROM executions WHERE instance_id = :instance AND execution_id = :execution;

-- name: delete_execution_history
-- The events of one execution.
DELETE FROM history WHERE instance_id = :instance AND execution_id = :execution;
