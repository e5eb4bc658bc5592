-- The worker queue and the sessions.

-- name: enqueue_work
-- One activity, visible now, with the look-up copies of its members (PV-10.1, PV-8.9).
INSERT INTO worker_queue (visible_at, created_at, instance_id, execution_id, activity_id, session_id, tag,
                          holder, work_item)
VALUES (:now, :now, :instance, :execution, :activity, :session, :tag,
        CASE WHEN :session IS NOT NULL THEN coalesce(
            (SELECT worker_id FROM sessions JOIN session_holds USING (instance_id, session_id)
             WHERE instance_id = :instance AND session_id = :session AND noted = 1), '') END,
        :work_item);

-- name: outdated_copies
-- Whether a delay has passed that is still marked, a held session has lapsed, a session is claimed and its items
-- do not say so.
SELECT EXISTS (SELECT 1 FROM worker_queue INDEXED BY idx_worker_delayed WHERE waits = 1 AND visible_at <= :now),
       EXISTS (SELECT 1 FROM session_holds WHERE noted = 1 AND locked_until <= :now),
       EXISTS (SELECT 1 FROM session_holds WHERE noted = 0 AND locked_until > :now);

-- name: end_delays
-- Items whose delay has passed wait no more.
UPDATE worker_queue SET waits = 0 WHERE waits = 1 AND visible_at <= :now;

-- name: free_items
-- The items of lapsed sessions have no holder.
UPDATE worker_queue SET holder = ''
FROM session_holds AS s
WHERE s.noted = 1 AND s.locked_until <= :now
  AND worker_queue.instance_id = s.instance_id AND worker_queue.session_id = s.session_id
  AND worker_queue.session_id IS NOT NULL;

-- name: note_lapsed
-- Their sessions are not held.
UPDATE session_holds SET noted = 0 WHERE noted = 1 AND locked_until <= :now;

-- name: bind_items
-- The items of claimed sessions have their worker as their holder.
UPDATE worker_queue SET holder = s.worker_id
FROM session_holds AS h JOIN sessions AS s USING (instance_id, session_id)
WHERE h.noted = 0 AND h.locked_until > :now
  AND worker_queue.instance_id = s.instance_id AND worker_queue.session_id = s.session_id
  AND worker_queue.session_id IS NOT NULL;

-- name: note_claimed
-- Their sessions are held.
UPDATE session_holds SET noted = 1 WHERE noted = 0 AND locked_until > :now;

-- name: free_items_of_session
-- The items of a released session have no holder.
UPDATE worker_queue SET holder = '' WHERE instance_id = :instance AND session_id = :session;

-- name: first_work
-- A number before which no item can be taken, or null: the first free one of each holder in question with each
-- tag in question, or the first one whose lock has run out; few have run out at any time.
WITH holders (holder) AS (
    SELECT NULL UNION ALL SELECT :worker WHERE :worker IS NOT NULL UNION ALL SELECT '' WHERE :claim_new),
wanted (tag) AS (
    SELECT NULL WHERE :untagged
    UNION ALL SELECT column1 FROM (VALUES (:tag_1), (:tag_2), (:tag_3), (:tag_4), (:tag_5))
    WHERE column1 IS NOT NULL)
SELECT min(id) FROM (
    SELECT min(CASE WHEN :any_tag
        THEN (SELECT w.id FROM worker_queue AS w INDEXED BY idx_worker_ready_any
              WHERE w.locked_until IS NULL AND w.set_aside = 0 AND w.waits = 0 AND w.holder IS holders.holder
              ORDER BY w.id LIMIT 1)
        ELSE (SELECT min((SELECT w.id FROM worker_queue AS w INDEXED BY idx_worker_ready
                          WHERE w.locked_until IS NULL AND w.set_aside = 0 AND w.waits = 0
                            AND w.holder IS holders.holder AND w.tag IS wanted.tag
                          ORDER BY w.id LIMIT 1)) FROM wanted) END) AS id
    FROM holders
    UNION ALL
    SELECT min(w.id) FROM worker_queue AS w INDEXED BY idx_worker_expiry
    LEFT JOIN sessions AS s ON s.instance_id = w.instance_id AND s.session_id = w.session_id
    WHERE w.locked_until <= :now AND w.visible_at <= :now AND w.set_aside = 0
      AND CASE WHEN w.tag IS NULL THEN :untagged
               ELSE :any_tag OR w.tag IN (:tag_1, :tag_2, :tag_3, :tag_4, :tag_5) END
      AND (w.session_id IS NULL
           OR CASE WHEN s.locked_until > :now THEN s.worker_id = :worker ELSE :claim_new END));

-- name: take_plain_work
-- The oldest eligible row without a session is locked and its attempt counted (PV-10.2 to PV-10.4).
UPDATE worker_queue
SET lock_token = :token, locked_until = :locked_until, attempt_count = attempt_count + 1
WHERE id = (
    SELECT w.id FROM worker_queue AS w
    WHERE w.id >= :first
      AND w.visible_at <= :now
      AND (w.locked_until IS NULL OR w.locked_until <= :now)
      AND w.session_id IS NULL
      AND w.set_aside = 0
      AND CASE WHEN w.tag IS NULL THEN :untagged
               ELSE :any_tag OR w.tag IN (:tag_1, :tag_2, :tag_3, :tag_4, :tag_5) END
    ORDER BY w.id
    LIMIT 1)
RETURNING id, CAST(work_item AS BLOB), attempt_count, CAST(instance_id AS BLOB), CAST(session_id AS BLOB);

-- name: take_work
-- The oldest eligible row, with or without a session, is locked, its attempt counted and the worker noted on
-- it if it is bound. A session may be attached to the worker, or free if new claims are wanted: absent,
-- unattached and lapsed all show as no live expiry (PV-24.9 to PV-24.12).
UPDATE worker_queue
SET lock_token = :token,
    locked_until = :locked_until,
    attempt_count = attempt_count + 1,
    claimed_by = CASE WHEN session_id IS NULL THEN NULL ELSE :worker END
WHERE id = (
    SELECT w.id FROM worker_queue AS w
    LEFT JOIN sessions AS s ON s.instance_id = w.instance_id AND s.session_id = w.session_id
    WHERE w.id >= :first
      AND w.visible_at <= :now
      AND (w.locked_until IS NULL OR w.locked_until <= :now)
      AND w.set_aside = 0
      AND CASE WHEN w.tag IS NULL THEN :untagged
               ELSE :any_tag OR w.tag IN (:tag_1, :tag_2, :tag_3, :tag_4, :tag_5) END
      AND (w.session_id IS NULL
           OR CASE WHEN s.locked_until > :now THEN s.worker_id = :worker ELSE :claim_new END)
    ORDER BY w.id
    LIMIT 1)
RETURNING id, CAST(work_item AS BLOB), attempt_count, CAST(instance_id AS BLOB), CAST(session_id AS BLOB);

-- name: next_change
-- The next time at which an item becomes visible, or an item or session lock ends (PV-23.6).
SELECT min(
    coalesce((SELECT min(visible_at) FROM worker_queue WHERE waits = 1 AND visible_at > :now AND visible_at <= :never), :never),
    coalesce((SELECT min(locked_until) FROM worker_queue WHERE locked_until > :now AND locked_until <= :never), :never),
    coalesce((SELECT min(locked_until) FROM sessions WHERE locked_until > :now AND locked_until <= :never), :never));

-- name: set_work_aside
-- An undecodable row is never eligible again; the attempt that met it does not count (PV-14.9).
UPDATE worker_queue
SET set_aside = 1, lock_token = NULL, locked_until = NULL, claimed_by = NULL, attempt_count = attempt_count - 1
WHERE id = :id;

-- name: finish_work
-- Delete the row, if the token still holds it (PV-11.1, PV-11.2).
DELETE FROM worker_queue WHERE lock_token = :token AND locked_until > :now;

-- name: work_of_token
-- The row a token names, with what a renewal has to know (PV-26.6). A token without an expiry, which only another
-- program can have written, holds nothing.
SELECT id, coalesce(locked_until, 0), instance_id, session_id, claimed_by FROM worker_queue WHERE lock_token = :token;

-- name: extend_work
-- A new expiry for an item lock (PV-11.7).
UPDATE worker_queue SET locked_until = :locked_until WHERE id = :id;

-- name: give_work_back
-- The row is free again at its old rank (PV-11.9, PV-24.6).
UPDATE worker_queue
SET lock_token = NULL,
    locked_until = NULL,
    claimed_by = NULL,
    visible_at = :visible_at,
    waits = :visible_at > :now,
    attempt_count = max(attempt_count - :uncount, 0)
WHERE lock_token = :token;

-- name: session_owner
-- The worker that a session names, and its expiry.
SELECT worker_id, locked_until FROM sessions WHERE instance_id = :instance AND session_id = :session;

-- name: attach_session
-- Attach the session to the worker; if it is attached already, its expiry never moves back (PV-24.13).
INSERT INTO sessions (instance_id, session_id, worker_id, locked_until)
VALUES (:instance, :session, :worker, :locked_until)
ON CONFLICT (instance_id, session_id) DO UPDATE
SET locked_until = CASE WHEN worker_id = excluded.worker_id THEN max(locked_until, excluded.locked_until)
                        ELSE excluded.locked_until END,
    worker_id = excluded.worker_id;

-- name: extend_session
-- A later expiry for a session that names the worker, live or lapsed (PV-26.1, PV-26.2).
UPDATE sessions SET locked_until = max(locked_until, :locked_until)
WHERE instance_id = :instance AND session_id = :session AND worker_id = :worker;

-- name: release_session
-- Unattach the session, if it named the worker (PV-26.5).
UPDATE sessions SET worker_id = NULL, locked_until = NULL
WHERE instance_id = :instance AND session_id = :session AND worker_id = :worker;
