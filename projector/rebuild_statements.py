"""The statements of rebuilds; their plans have to bear growing tables as those of projection do, see statements.py."""

from __future__ import annotations

from typing import Final

from event_log.long_texts import DATA
from projector.statements import IN_FORMAT, ROWS_WHERE
from read_model.formats import ROW_FORMAT

ENROL_ALL: Final = """
    -- Create a checkpoint at position 0 for users who lost theirs, or have rows but no stream: user $1, or all for
    -- null.
    INSERT INTO tasklog.checkpoints (user_id, position, rebuild, mended_at)
    SELECT user_id, 0, true, clock_timestamp() FROM (
        SELECT s.user_id FROM tasklog.streams s WHERE ($1::text IS NULL OR s.user_id = $1)
        UNION SELECT t.user_id FROM tasklog.tasks t WHERE ($1::text IS NULL OR t.user_id = $1)
    ) AS users
    WHERE NOT EXISTS (SELECT FROM tasklog.checkpoints c WHERE c.user_id = users.user_id)
    ORDER BY user_id -- as ENROL, so that the two never wait for each other
    ON CONFLICT (user_id) DO NOTHING
"""

MARK_REBUILD: Final = """
    -- Mark the next $3 users from $2 on, or only user $1, for a rebuild; return how many, and the last one.
    WITH next AS (
        SELECT user_id FROM tasklog.checkpoints WHERE user_id >= $2 AND ($1::text IS NULL OR user_id = $1)
        ORDER BY user_id LIMIT $3 FOR UPDATE
    ), marked AS (
        UPDATE tasklog.checkpoints c SET rebuild = true FROM next WHERE c.user_id = next.user_id
    ) SELECT count(*), max(user_id) FROM next
"""

AWAKEN: Final = """
    -- Mark streams that are ahead of their checkpoint as unprojected: users from $2 to $3, or only user $1. A separate
    -- transaction: an erasure locks the head first and then the checkpoint, so nobody may hold a checkpoint while
    -- waiting for a head. Heads are locked in the same order as by an append.
    WITH ahead AS (
        SELECT s.user_id FROM tasklog.streams s JOIN tasklog.checkpoints c USING (user_id)
        WHERE s.user_id >= $2 AND s.user_id <= $3 AND ($1::text IS NULL OR s.user_id = $1)
          AND s.unprojected_since IS NULL AND s.head > c.position
        ORDER BY s.user_id FOR UPDATE OF s
    )
    UPDATE tasklog.streams s SET unprojected_since = clock_timestamp()
    FROM ahead WHERE s.user_id = ahead.user_id AND s.unprojected_since IS NULL
"""

LEFT_TO_REBUILD: Final = """
    -- How many users are marked, and how many events they have.
    SELECT count(*) AS users, coalesce(sum(position), 0)::bigint AS events FROM tasklog.checkpoints WHERE rebuild
"""

CLAIM_REBUILD: Final = f"""
    -- $1 users marked for a rebuild, locked as in CLAIM, and whether their rows are in this version's format.
    SELECT c.user_id, c.position, {IN_FORMAT} AS in_format FROM tasklog.checkpoints c WHERE c.rebuild
    ORDER BY c.user_id LIMIT $1 FOR UPDATE SKIP LOCKED
"""

REPLAYED: Final = f"""
    -- All events of users $1 up to their checkpoints $2, in order; long data are left out.
    SELECT e.user_id, e.position, e.task_id, e.version, e.type, e.schema_version, e.recorded_at, {DATA}
    FROM unnest($1::text[], $2::bigint[]) AS claimed (user_id, position)
    CROSS JOIN LATERAL (
        SELECT * FROM tasklog.events e
        WHERE e.user_id = claimed.user_id AND e.position <= claimed.position ORDER BY e.position
    ) AS e
"""

ROWS_OF_USERS: Final = ROWS_WHERE + "user_id = ANY ($1::text[])"

REBUILT: Final = f"""
    -- Record the rebuild of users $1: at positions $3 it failed because of $4 (null: it did not), and rows of users $2
    -- were corrected. A checkpoint ahead of its stream is moved back, and parked users are tried again. Each checkpoint
    -- is found once; the claim's lock keeps it in its place. A join by the user could compare each with all others.
    UPDATE tasklog.checkpoints c
    SET rebuild = false, attempts = 0, parked_until = NULL, error = NULL,
        fault_position = done.fault_position, fault_reason = done.fault_reason,
        position = done.position, mended_at = done.mended_at,
        task_count = done.tasks, completed_count = done.completed,
        row_format = CASE WHEN done.fault_reason IS NULL
                          THEN tasklog.format_at('{ROW_FORMAT}', done.position, done.mended_at) ELSE c.row_format END
    FROM (
        SELECT claimed.place, done.fault_position, done.fault_reason, counted.tasks, counted.completed,
               least(claimed.position, coalesce((
                   SELECT s.head FROM tasklog.streams s WHERE s.user_id = done.user_id), 0)) AS position,
               CASE WHEN done.user_id = ANY ($2::text[]) THEN clock_timestamp() ELSE claimed.mended_at END AS mended_at
        FROM unnest($1::text[], $3::bigint[], $4::text[]) AS done (user_id, fault_position, fault_reason)
        CROSS JOIN LATERAL (
            SELECT c.ctid AS place, c.position, c.mended_at FROM tasklog.checkpoints c
            WHERE c.user_id = done.user_id OFFSET 0
        ) AS claimed
        CROSS JOIN LATERAL (
            SELECT count(*) AS tasks, count(*) FILTER (WHERE t.completed) AS completed
            FROM tasklog.tasks t WHERE t.user_id = done.user_id
        ) AS counted
    ) AS done
    WHERE c.ctid = done.place
"""

MARK_OTHER_FORMATS: Final = f"""
    -- Mark the users from $1 to $2 whose rows are in another format for a rebuild, unless their events cannot be
    -- replayed; also those that a rebuild of 1.0 could not replay because it did not know a schema version, see CLAIM.
    -- Mark nobody if another version has migrated the database since.
    WITH other AS (
        SELECT c.user_id FROM tasklog.checkpoints c
        WHERE tasklog.row_format() = '{ROW_FORMAT}' AND c.user_id >= $1 AND c.user_id <= $2
          AND NOT c.rebuild
          AND CASE WHEN c.fault_reason IS NULL THEN NOT {IN_FORMAT} ELSE c.fault_reason LIKE '% is known' END
        ORDER BY c.user_id FOR UPDATE SKIP LOCKED
    )
    UPDATE tasklog.checkpoints c SET rebuild = true FROM other WHERE c.user_id = other.user_id
"""

GIVE_UP_REBUILD: Final = """
    -- End the rebuild of user $1 because of $2, unless another process has completed it.
    UPDATE tasklog.checkpoints SET rebuild = false, fault_position = position, fault_reason = $2
    WHERE user_id = $1 AND rebuild RETURNING user_id, position
"""

FAULTS: Final = """
    -- Users that the last rebuild could not replay, with position and reason: user $1, or all for null.
    SELECT user_id, fault_position, fault_reason FROM tasklog.checkpoints
    WHERE fault_reason IS NOT NULL AND ($1::text IS NULL OR user_id = $1) ORDER BY user_id
"""
