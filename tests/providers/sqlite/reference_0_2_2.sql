-- A file as release 0.2.2 of the reference's Python package leaves it: instance 'p' has completed, and a start of 'h'
-- is waiting. Dumped from a real file; only the contents of _sqlx_migrations are left out.
BEGIN TRANSACTION;
CREATE TABLE _sqlx_migrations (
    version BIGINT PRIMARY KEY,
    description TEXT NOT NULL,
    installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    success BOOLEAN NOT NULL,
    checksum BLOB NOT NULL,
    execution_time BIGINT NOT NULL
);
CREATE TABLE executions (
    instance_id TEXT NOT NULL,
    execution_id INTEGER NOT NULL,
    status TEXT NOT NULL DEFAULT 'Running',
    output TEXT,
    started_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
    completed_at TIMESTAMP, duroxide_version_major INTEGER, duroxide_version_minor INTEGER, duroxide_version_patch INTEGER,
    PRIMARY KEY (instance_id, execution_id)
);
INSERT INTO "executions" VALUES('p',1,'Completed','"hi you"','2026-11-28 15:59:10',1795881550426,0,1,32);
CREATE TABLE history (
    instance_id TEXT NOT NULL,
    execution_id INTEGER NOT NULL,
    event_id INTEGER NOT NULL,
    event_type TEXT NOT NULL,
    event_data TEXT NOT NULL, -- JSON serialized Event
    created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
    PRIMARY KEY (instance_id, execution_id, event_id)
);
INSERT INTO "history" VALUES('p',1,1,'OrchestrationStarted','{"event_id":1,"source_event_id":null,"instance_id":"p","execution_id":1,"timestamp_ms":1795881550238,"duroxide_version":"0.1.32","type":"OrchestrationStarted","name":"plain","version":"1.0.0","input":"\"you\"","parent_instance":null,"parent_id":null}','2026-11-28 15:59:10');
INSERT INTO "history" VALUES('p',1,2,'ActivityScheduled','{"event_id":2,"source_event_id":null,"instance_id":"p","execution_id":1,"timestamp_ms":1795881550238,"duroxide_version":"0.1.32","type":"ActivityScheduled","name":"say","input":"\"you\""}','2026-11-28 15:59:10');
INSERT INTO "history" VALUES('p',1,3,'ActivityCompleted','{"event_id":3,"source_event_id":2,"instance_id":"p","execution_id":1,"timestamp_ms":1795881550345,"duroxide_version":"0.1.32","type":"ActivityCompleted","result":"\"hi you\""}','2026-11-28 15:59:10');
INSERT INTO "history" VALUES('p',1,4,'TimerCreated','{"event_id":4,"source_event_id":null,"instance_id":"p","execution_id":1,"timestamp_ms":1795881550346,"duroxide_version":"0.1.32","type":"TimerCreated","fire_at_ms":1795881550356}','2026-11-28 15:59:10');
INSERT INTO "history" VALUES('p',1,5,'TimerFired','{"event_id":5,"source_event_id":4,"instance_id":"p","execution_id":1,"timestamp_ms":1795881550420,"duroxide_version":"0.1.32","type":"TimerFired","fire_at_ms":1795881550356}','2026-11-28 15:59:10');
INSERT INTO "history" VALUES('p',1,6,'OrchestrationCompleted','{"event_id":6,"source_event_id":null,"instance_id":"p","execution_id":1,"timestamp_ms":1795881550421,"duroxide_version":"0.1.32","type":"OrchestrationCompleted","output":"\"hi you\""}','2026-11-28 15:59:10');
CREATE TABLE instance_locks (
    instance_id TEXT PRIMARY KEY,
    lock_token TEXT NOT NULL,
    locked_until INTEGER NOT NULL,
    locked_at INTEGER NOT NULL
);
CREATE TABLE instances (
    instance_id TEXT PRIMARY KEY,
    orchestration_name TEXT NOT NULL,
    orchestration_version TEXT NOT NULL,
    current_execution_id INTEGER NOT NULL DEFAULT 1,
    created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
    updated_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP
, parent_instance_id TEXT REFERENCES instances(instance_id), custom_status TEXT, custom_status_version INTEGER NOT NULL DEFAULT 0);
INSERT INTO "instances" VALUES('p','plain','1.0.0',1,'2026-11-28 15:59:10','2026-11-28 15:59:10',NULL,NULL,0);
CREATE TABLE kv_delta (
    instance_id TEXT NOT NULL,
    key         TEXT NOT NULL,
    value       TEXT,
    last_updated_at_ms INTEGER NOT NULL,
    PRIMARY KEY (instance_id, key)
);
CREATE TABLE "kv_store" (
    instance_id TEXT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    last_updated_at_ms INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (instance_id, key)
);
CREATE TABLE orchestrator_queue (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    instance_id TEXT NOT NULL,
    work_item TEXT NOT NULL, -- JSON serialized WorkItem
    visible_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
    lock_token TEXT,
    locked_until TIMESTAMP,
    created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP
, attempt_count INTEGER NOT NULL DEFAULT 0 CHECK(attempt_count >= 0));
CREATE TABLE sessions (
    session_id     TEXT PRIMARY KEY,
    worker_id      TEXT NOT NULL,
    locked_until   INTEGER NOT NULL,    -- ms since epoch (heartbeat lease)
    last_activity_at INTEGER NOT NULL   -- ms since epoch (last work flow)
);
CREATE TABLE timer_queue (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    work_item TEXT NOT NULL, -- JSON serialized WorkItem
    fire_at TIMESTAMP NOT NULL,
    lock_token TEXT,
    locked_until TIMESTAMP,
    created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP
);
CREATE TABLE worker_queue (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    work_item TEXT NOT NULL, -- JSON serialized WorkItem
    lock_token TEXT,
    locked_until TIMESTAMP,
    created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP
, attempt_count INTEGER NOT NULL DEFAULT 0 CHECK(attempt_count >= 0), visible_at INTEGER NOT NULL DEFAULT 0, instance_id TEXT, execution_id INTEGER, activity_id INTEGER, session_id TEXT, tag TEXT);
CREATE INDEX idx_orch_visible ON orchestrator_queue(visible_at, lock_token);
CREATE INDEX idx_orch_instance ON orchestrator_queue(instance_id);
CREATE INDEX idx_orch_lock ON orchestrator_queue(lock_token);
CREATE INDEX idx_worker_available ON worker_queue(lock_token, id);
CREATE INDEX idx_timer_fire ON timer_queue(fire_at, lock_token);
CREATE INDEX idx_worker_activity ON worker_queue(instance_id, execution_id, activity_id);
CREATE INDEX idx_instances_parent ON instances(parent_instance_id);
CREATE INDEX idx_worker_queue_session ON worker_queue(session_id);
CREATE INDEX idx_worker_queue_tag ON worker_queue(tag);
INSERT INTO "orchestrator_queue" VALUES(4,'h','{"StartOrchestration":{"instance":"h","orchestration":"plain","input":"\"you\"","version":null,"parent_instance":null,"parent_id":null,"execution_id":1}}',1795881551815,NULL,NULL,'2026-11-28 15:59:11',0);
COMMIT;
