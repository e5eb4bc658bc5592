-- From version 0, a database of the reference implementation, to version 1. Missing columns have been added and
-- missing tables created before this runs. Tables keep their shape and rows their identity; only what this
-- version could not read is rewritten.

-- Text times become integer milliseconds (PV-30.6); the reference itself reads them back as 0.
UPDATE instances SET
    created_at = coalesce(unixepoch(created_at, 'subsec'), 1) * 1000,
    updated_at = coalesce(unixepoch(updated_at, 'subsec'), 1) * 1000
WHERE typeof(created_at) = 'text' OR typeof(updated_at) = 'text';
UPDATE instances SET created_at = CAST(created_at AS INTEGER), updated_at = CAST(updated_at AS INTEGER);

UPDATE executions SET started_at = CAST(coalesce(unixepoch(started_at, 'subsec'), 1) * 1000 AS INTEGER)
WHERE typeof(started_at) = 'text';
UPDATE executions SET completed_at = CAST(unixepoch(completed_at, 'subsec') * 1000 AS INTEGER)
WHERE typeof(completed_at) = 'text';

UPDATE history SET created_at = CAST(coalesce(unixepoch(created_at, 'subsec'), 1) * 1000 AS INTEGER)
WHERE typeof(created_at) = 'text';
UPDATE orchestrator_queue SET created_at = CAST(coalesce(unixepoch(created_at, 'subsec'), 1) * 1000 AS INTEGER)
WHERE typeof(created_at) = 'text';
UPDATE worker_queue SET created_at = CAST(coalesce(unixepoch(created_at, 'subsec'), 1) * 1000 AS INTEGER)
WHERE typeof(created_at) = 'text';

-- A running execution has no completion time (PV-5.8).
UPDATE executions SET completed_at = NULL WHERE status = 'Running';

-- Look-up copies of rows from before there were such columns (PV-2.5). An undecodable row keeps none.
UPDATE worker_queue SET
    instance_id = json_extract(work_item, '$.ActivityExecute.instance'),
    execution_id = json_extract(work_item, '$.ActivityExecute.execution_id'),
    activity_id = json_extract(work_item, '$.ActivityExecute.id')
WHERE instance_id IS NULL AND json_valid(work_item);
