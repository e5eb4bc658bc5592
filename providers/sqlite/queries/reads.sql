-- Plain reads of the contract. Each is one statement, so that it sees one state (PV-17.11).

-- name: latest_history
-- The encoded events of the highest recorded execution, of execution 1 if none is recorded (PV-5.14).
SELECT CAST(event_data AS BLOB) FROM history
WHERE instance_id = :instance AND execution_id = coalesce(
    (SELECT max(execution_id) FROM executions WHERE instance_id = :instance), 1)
ORDER BY event_id;

-- name: custom_status
-- The custom status and its version (PV-16.5).
SELECT CAST(custom_status AS TEXT), custom_status_version FROM instances WHERE instance_id = :instance;

-- name: key_value
-- One key as clients see it: a change of the running execution, else what is settled (PV-17.10).
SELECT CASE WHEN EXISTS (SELECT 1 FROM kv_delta WHERE instance_id = :instance AND key = :key)
            THEN (SELECT CAST(value AS TEXT) FROM kv_delta WHERE instance_id = :instance AND key = :key)
            ELSE (SELECT CAST(value AS TEXT) FROM kv_store WHERE instance_id = :instance AND key = :key) END;

-- name: key_values
-- All keys as clients see them, by key (PV-17.10).
SELECT CAST(key AS TEXT) AS key, CAST(value AS TEXT) FROM kv_delta WHERE instance_id = :instance AND value IS NOT NULL
UNION ALL
SELECT CAST(s.key AS TEXT), CAST(s.value AS TEXT) FROM kv_store AS s
WHERE s.instance_id = :instance
  AND NOT EXISTS (SELECT 1 FROM kv_delta AS d WHERE d.instance_id = s.instance_id AND d.key = s.key)
ORDER BY key;
