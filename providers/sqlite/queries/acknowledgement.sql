-- What the acknowledgement of a turn writes.

-- name: delete_batch
-- The messages this turn was about (PV-8.6).
DELETE FROM orchestrator_queue
WHERE instance_id = :instance AND behind = 1 AND lock_token = :token;

-- name: put_instance
-- The instance record is created, or takes over name and version; its parent never changes (PV-5.2 to 5.6).
INSERT INTO instances (instance_id, orchestration_name, orchestration_version, current_execution_id,
                       created_at, updated_at, parent_instance_id)
VALUES (:instance, :name, :version, :execution, :now, :now, :parent)
ON CONFLICT (instance_id) DO UPDATE
SET orchestration_name = excluded.orchestration_name,
    orchestration_version = excluded.orchestration_version,
    current_execution_id = max(current_execution_id, excluded.current_execution_id),
    updated_at = excluded.updated_at;

-- name: touch_instance
-- An existing instance record takes over the execution and the time (PV-5.3, PV-5.6).
UPDATE instances
SET current_execution_id = max(current_execution_id, :execution), updated_at = :now
WHERE instance_id = :instance;

-- name: put_execution
-- The execution record exists afterwards; status with output and pinned version change only if given
-- (PV-5.5, PV-5.7, PV-5.8, PV-8.15).
INSERT INTO executions (instance_id, execution_id, status, output, started_at, completed_at,
                        duroxide_version_major, duroxide_version_minor, duroxide_version_patch)
VALUES (:instance, :execution, coalesce(:status, 'Running'), :output, :now, :completed_at, :major, :minor, :patch)
ON CONFLICT (instance_id, execution_id) DO UPDATE
SET status = CASE WHEN :status IS NULL THEN status ELSE excluded.status END,
    output = CASE WHEN :status IS NULL THEN output ELSE excluded.output END,
    completed_at = CASE WHEN :status IS NULL THEN completed_at ELSE excluded.completed_at END,
    duroxide_version_major = coalesce(excluded.duroxide_version_major, duroxide_version_major),
    duroxide_version_minor = coalesce(excluded.duroxide_version_minor, duroxide_version_minor),
    duroxide_version_patch = coalesce(excluded.duroxide_version_patch, duroxide_version_patch);

-- name: append_event
-- One event under its own number; a number that exists already is refused by the key (PV-5.9, PV-5.11).
INSERT INTO history (instance_id, execution_id, event_id, event_type, created_at, event_data)
VALUES (:instance, :execution, :event_id, :kind, :now, :event_data);

-- name: set_custom_status
-- A new custom status, or none, and the next version of it (PV-16.1, PV-16.2).
UPDATE instances
SET custom_status = :status, custom_status_version = custom_status_version + 1
WHERE instance_id = :instance;

-- name: change_key
-- The running execution sets a key, or clears it with a null value (PV-17.3, PV-17.4).
INSERT INTO kv_delta (instance_id, key, value, last_updated_at_ms)
VALUES (:instance, :key, :value, :updated_at)
ON CONFLICT (instance_id, key) DO UPDATE
SET value = excluded.value, last_updated_at_ms = excluded.last_updated_at_ms;

-- name: clear_changed_keys
-- Every key the running execution has touched becomes a tombstone (PV-17.5).
UPDATE kv_delta SET value = NULL, last_updated_at_ms = :now WHERE instance_id = :instance;

-- name: clear_settled_keys
-- Every settled key the running execution has not touched gets a tombstone (PV-17.5).
INSERT INTO kv_delta (instance_id, key, value, last_updated_at_ms)
SELECT instance_id, key, NULL, :now FROM kv_store WHERE instance_id = :instance
ON CONFLICT (instance_id, key) DO NOTHING;

-- name: has_changed_keys
-- Whether there is anything to settle.
SELECT EXISTS (SELECT 1 FROM kv_delta WHERE instance_id = :instance);

-- name: settle_cleared_keys
-- Tombstones delete what was settled (PV-17.7).
DELETE FROM kv_store
WHERE instance_id = :instance
  AND key IN (SELECT key FROM kv_delta WHERE instance_id = :instance AND value IS NULL);

-- name: settle_set_keys
-- Values overwrite what was settled, with their times (PV-17.7).
INSERT INTO kv_store (instance_id, key, value, last_updated_at_ms)
SELECT instance_id, key, value, last_updated_at_ms FROM kv_delta
WHERE instance_id = :instance AND value IS NOT NULL
ON CONFLICT (instance_id, key) DO UPDATE
SET value = excluded.value, last_updated_at_ms = excluded.last_updated_at_ms;

-- name: forget_changed_keys
-- The next execution begins without changes (PV-17.7).
DELETE FROM kv_delta WHERE instance_id = :instance;

-- name: close_session_rows
-- Delete the worker rows of one session, waiting or held (PV-25.3).
DELETE FROM worker_queue WHERE instance_id = :instance AND session_id = :session;

-- name: close_session
-- Delete the record of one session (PV-25.3).
DELETE FROM sessions WHERE instance_id = :instance AND session_id = :session;

-- name: close_all_session_rows
-- Delete the worker rows of all sessions of an instance (PV-25.6).
DELETE FROM worker_queue WHERE instance_id = :instance AND session_id IS NOT NULL;

-- name: close_all_sessions
-- Delete the records of all sessions of an instance (PV-25.6).
DELETE FROM sessions WHERE instance_id = :instance;

-- name: open_session
-- A session is open; a record that exists keeps its worker and expiry (PV-25.1).
INSERT INTO sessions (instance_id, session_id) VALUES (:instance, :session)
ON CONFLICT (instance_id, session_id) DO NOTHING;

-- name: cancel_activity
-- Delete the row of a cancelled activity, locked or not (PV-15.1, PV-15.2).
DELETE FROM worker_queue
WHERE instance_id = :instance AND execution_id = :execution AND activity_id = :activity;
