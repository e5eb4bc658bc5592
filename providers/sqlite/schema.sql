-- The tables of a Holdfast store, version 2. Everything is written IF NOT EXISTS, so that the same text
-- completes a database of the reference implementation, whose tables of these names it leaves as they are.
--
--   instances           one row per orchestration instance: name, version, current execution, custom status
--   executions          one row per execution of an instance: status, output, times, pinned version
--   history             the events of each execution; only ever added to
--   orchestrator_queue  messages that cause a turn; a batch carries the token of its instance lock
--   worker_queue        activities waiting to run or running, with look-up copies of the item's members
--   instance_locks      who runs a turn of which instance, until when; an empty token is a hold: after an
--                       abandon with a delay nobody may run the instance for a while (PV-9.2)
--   sessions            open sessions; worker and expiry are both null or both set
--   kv_store            settled key-values, left by finished executions
--   kv_delta            changes of the running execution; a null value is a tombstone
--
-- Some columns and a table are copies that only spare a fetch its search; what may be delivered never depends on them:
--   worker_queue.holder        null for an item of no session; the worker that holds its session; '' if none does
--   worker_queue.waits         1 from an abandon with a delay until a fetch sees that the delay has passed
--   orchestrator_queue.behind  1 if the instance has a lock or hold, live or run out
--   session_holds              the attached sessions and their expiry, kept by triggers, whoever writes to sessions;
--                              noted: 1 if the items of the session name its worker as their holder
--
-- All times are integer milliseconds since the epoch (PV-30.6). Encoded items and events stand last in their
-- rows, so that a scan over the other columns never touches the pages a long payload spills to. No table has
-- a foreign key: a parent need not exist (PV-5.4).

CREATE TABLE IF NOT EXISTS instances (
    instance_id           TEXT    NOT NULL PRIMARY KEY,
    orchestration_name    TEXT    NOT NULL,
    orchestration_version TEXT,
    current_execution_id  INTEGER NOT NULL DEFAULT 1,
    created_at            INTEGER NOT NULL,
    updated_at            INTEGER NOT NULL,
    parent_instance_id    TEXT,
    custom_status         TEXT,
    custom_status_version INTEGER NOT NULL DEFAULT 0
);

CREATE INDEX IF NOT EXISTS idx_instances_parent ON instances (parent_instance_id)
    WHERE parent_instance_id IS NOT NULL;

CREATE TABLE IF NOT EXISTS executions (
    instance_id            TEXT    NOT NULL,
    execution_id           INTEGER NOT NULL,
    status                 TEXT    NOT NULL DEFAULT 'Running',
    started_at             INTEGER NOT NULL,
    completed_at           INTEGER,
    duroxide_version_major INTEGER,
    duroxide_version_minor INTEGER,
    duroxide_version_patch INTEGER,
    output                 TEXT,
    PRIMARY KEY (instance_id, execution_id)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS history (
    instance_id  TEXT    NOT NULL,
    execution_id INTEGER NOT NULL,
    event_id     INTEGER NOT NULL,
    event_type   TEXT    NOT NULL,
    created_at   INTEGER NOT NULL,
    event_data   TEXT    NOT NULL,
    PRIMARY KEY (instance_id, execution_id, event_id)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS orchestrator_queue (
    id            INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    instance_id   TEXT    NOT NULL,
    visible_at    INTEGER NOT NULL,
    lock_token    TEXT,
    attempt_count INTEGER NOT NULL DEFAULT 0 CHECK (attempt_count >= 0),
    created_at    INTEGER NOT NULL,
    behind        INTEGER NOT NULL DEFAULT 0,
    work_item     TEXT    NOT NULL
);

-- In the order in which candidates are looked at (PV-7.3).
CREATE INDEX IF NOT EXISTS idx_orch_due ON orchestrator_queue (visible_at, id, instance_id);
CREATE INDEX IF NOT EXISTS idx_orch_instance ON orchestrator_queue (instance_id);
CREATE INDEX IF NOT EXISTS idx_orch_ready ON orchestrator_queue (visible_at, id) WHERE behind = 0;
CREATE INDEX IF NOT EXISTS idx_orch_behind ON orchestrator_queue (instance_id, visible_at, id) WHERE behind = 1;

CREATE TABLE IF NOT EXISTS worker_queue (
    id            INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    visible_at    INTEGER NOT NULL DEFAULT 0,
    lock_token    TEXT,
    locked_until  INTEGER,
    attempt_count INTEGER NOT NULL DEFAULT 0 CHECK (attempt_count >= 0),
    created_at    INTEGER NOT NULL,
    instance_id   TEXT,
    execution_id  INTEGER,
    activity_id   INTEGER,
    session_id    TEXT,
    tag           TEXT,
    claimed_by    TEXT,
    set_aside     INTEGER NOT NULL DEFAULT 0,
    holder        TEXT,
    waits         INTEGER NOT NULL DEFAULT 0,
    work_item     TEXT    NOT NULL
);

CREATE INDEX IF NOT EXISTS idx_worker_lock ON worker_queue (lock_token) WHERE lock_token IS NOT NULL;
CREATE INDEX IF NOT EXISTS idx_worker_activity ON worker_queue (instance_id, execution_id, activity_id);
CREATE INDEX IF NOT EXISTS idx_worker_session ON worker_queue (instance_id, session_id)
    WHERE session_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS idx_worker_ready ON worker_queue (holder, tag, id)
    WHERE locked_until IS NULL AND set_aside = 0 AND waits = 0;
CREATE INDEX IF NOT EXISTS idx_worker_ready_any ON worker_queue (holder, id)
    WHERE locked_until IS NULL AND set_aside = 0 AND waits = 0;
CREATE INDEX IF NOT EXISTS idx_worker_expiry ON worker_queue (locked_until) WHERE locked_until IS NOT NULL;
CREATE INDEX IF NOT EXISTS idx_worker_delayed ON worker_queue (visible_at) WHERE waits = 1;

CREATE TABLE IF NOT EXISTS instance_locks (
    instance_id  TEXT    NOT NULL PRIMARY KEY,
    lock_token   TEXT    NOT NULL,
    locked_until INTEGER NOT NULL,
    locked_at    INTEGER NOT NULL
) WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS idx_instance_locks_token ON instance_locks (lock_token);
CREATE INDEX IF NOT EXISTS idx_instance_locks_until ON instance_locks (locked_until);

CREATE TABLE IF NOT EXISTS sessions (
    instance_id  TEXT NOT NULL,
    session_id   TEXT NOT NULL,
    worker_id    TEXT,
    locked_until INTEGER,
    PRIMARY KEY (instance_id, session_id),
    CHECK ((worker_id IS NULL) = (locked_until IS NULL))
) WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS idx_sessions_worker ON sessions (worker_id) WHERE worker_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS idx_sessions_locked_until ON sessions (locked_until) WHERE locked_until IS NOT NULL;

CREATE TABLE IF NOT EXISTS session_holds (
    instance_id  TEXT    NOT NULL,
    session_id   TEXT    NOT NULL,
    locked_until INTEGER NOT NULL,
    noted        INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (instance_id, session_id)
) WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS idx_session_holds_noted ON session_holds (noted, locked_until);

CREATE TRIGGER IF NOT EXISTS session_attached_first AFTER INSERT ON sessions WHEN new.worker_id IS NOT NULL BEGIN
    INSERT OR REPLACE INTO session_holds (instance_id, session_id, locked_until)
    VALUES (new.instance_id, new.session_id, new.locked_until);
END;

CREATE TRIGGER IF NOT EXISTS session_attached AFTER UPDATE ON sessions WHEN new.worker_id IS NOT old.worker_id BEGIN
    DELETE FROM session_holds WHERE instance_id = old.instance_id AND session_id = old.session_id;
    INSERT INTO session_holds (instance_id, session_id, locked_until)
    SELECT new.instance_id, new.session_id, new.locked_until WHERE new.worker_id IS NOT NULL;
END;

CREATE TRIGGER IF NOT EXISTS session_extended AFTER UPDATE ON sessions
WHEN new.worker_id IS old.worker_id AND new.locked_until IS NOT old.locked_until BEGIN
    UPDATE session_holds SET locked_until = new.locked_until
    WHERE instance_id = new.instance_id AND session_id = new.session_id;
END;

CREATE TRIGGER IF NOT EXISTS session_ended AFTER DELETE ON sessions BEGIN
    DELETE FROM session_holds WHERE instance_id = old.instance_id AND session_id = old.session_id;
END;

CREATE TABLE IF NOT EXISTS kv_store (
    instance_id        TEXT    NOT NULL,
    key                TEXT    NOT NULL,
    last_updated_at_ms INTEGER NOT NULL DEFAULT 0,
    value              TEXT    NOT NULL,
    PRIMARY KEY (instance_id, key)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS kv_delta (
    instance_id        TEXT    NOT NULL,
    key                TEXT    NOT NULL,
    last_updated_at_ms INTEGER NOT NULL,
    value              TEXT,
    PRIMARY KEY (instance_id, key)
) WITHOUT ROWID;
