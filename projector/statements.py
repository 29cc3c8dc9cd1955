"""The statements of projection, each written in one place; those of rebuilds are in rebuild_statements.py.

Postgres caches plans, and may have made one while the tables were small. So every table has a condition on the
parameters (`= ANY ($1)`), or stands in a subquery for each row: then no plan can read a whole table or index.
"""

from __future__ import annotations

from typing import Final

from event_log.long_texts import SHORT_BYTES
from read_model.formats import ROW_FORMAT
from read_model.rows import COLUMNS, TASK_COLUMNS

IN_FORMAT: Final = f"tasklog.is_in_format(c.row_format, '{ROW_FORMAT}', c.position, c.mended_at)"
"""Whether all rows of the user of a checkpoint `c` are in this version's format, see read_model/formats.sql."""

_CLAIMED: Final = """
    SELECT c.user_id, c.position FROM tasklog.checkpoints c
    WHERE c.user_id = {user_id} AND c.position < {head}
      AND (c.parked_until IS NULL OR c.parked_until <= now() OR c.error LIKE '% is known')
    FOR UPDATE SKIP LOCKED
"""

CLAIM: Final = f"""
    -- $1 marked users with unprojected events, longest waiting first, locked for this transaction. Users that another
    -- projector works on, and parked users, are skipped, but not those that a projector of 1.0 parked because it did
    -- not know a schema version: its words end with "is known", those of this version do not.
    SELECT c.user_id, c.position
    FROM (
        SELECT s.user_id, s.head FROM tasklog.streams s
        WHERE s.unprojected_since IS NOT NULL ORDER BY s.unprojected_since
    ) AS s
    CROSS JOIN LATERAL ({_CLAIMED.format(user_id="s.user_id", head="s.head")}) AS c
    LIMIT $1
"""

CLAIM_NAMED: Final = f"""
    -- The same of the users $1, whether they are marked or not.
    SELECT c.user_id, c.position
    FROM unnest($1::text[]) AS named (user_id)
    CROSS JOIN LATERAL (
        SELECT s.user_id, s.head FROM tasklog.streams s WHERE s.user_id = named.user_id OFFSET 0
    ) AS s
    CROSS JOIN LATERAL ({_CLAIMED.format(user_id="s.user_id", head="s.head")}) AS c
"""

_ENROL: Final = f"""
    WITH enrolled AS (
        INSERT INTO tasklog.checkpoints (user_id, position, task_count, completed_count, row_format)
        SELECT s.user_id, 0, 0, 0, CASE WHEN NOT EXISTS (SELECT FROM tasklog.tasks t WHERE t.user_id = s.user_id)
                                  THEN tasklog.format_at('{ROW_FORMAT}', 0, NULL) END
        FROM ({{streams}}) AS s
        ORDER BY s.user_id
        ON CONFLICT (user_id) DO NOTHING RETURNING 1
    ) SELECT count(*) FROM enrolled
"""
_WITHOUT_CHECKPOINT: Final = "(SELECT c.position FROM tasklog.checkpoints c WHERE c.user_id = s.user_id) IS NULL"
_MARKED_STREAMS: Final = f"""
            SELECT s.user_id FROM tasklog.streams s WHERE s.unprojected_since IS NOT NULL AND {_WITHOUT_CHECKPOINT}
            ORDER BY s.unprojected_since LIMIT $1
"""
_NAMED_STREAMS: Final = f"""
            SELECT s.user_id FROM unnest($1::text[]) AS named (user_id)
            CROSS JOIN LATERAL (
                SELECT s.user_id FROM tasklog.streams s WHERE s.user_id = named.user_id OFFSET 0
            ) AS s
            WHERE {_WITHOUT_CHECKPOINT}
"""

ENROL: Final = f"""
    -- Create checkpoints for $1 of the marked streams that have none, longest waiting first; return how many. It is a
    -- separate transaction, so nobody waits for it long.
    {_ENROL.format(streams=_MARKED_STREAMS)}
"""

ENROL_NAMED: Final = f"""
    -- The same for the streams of users $1.
    {_ENROL.format(streams=_NAMED_STREAMS)}
"""

_UNPROJECTED: Final = """
    -- The next events of the claimed users $1 after their checkpoints $2: at most $3 events and about $5 bytes per
    -- user, and $4 events and about $6 bytes in total. A separate statement after CLAIM, so that it sees everything
    -- that was committed before the locks were taken.
    SELECT e.user_id, e.position, e.task_id, e.version, e.type, e.schema_version, e.data::text AS data, e.recorded_at,
           e.bytes{more}
    FROM (
        SELECT e.*, sum(e.bytes) OVER (ROWS UNBOUNDED PRECEDING) - e.bytes AS before
        FROM unnest($1::text[], $2::bigint[]) AS claimed (user_id, position)
        CROSS JOIN LATERAL (
            SELECT e.*, sum(e.bytes) OVER (ORDER BY e.position) - e.bytes AS own_before
            FROM (
                SELECT e.*, coalesce(tasklog.most_bytes(e.data), 0) AS bytes FROM tasklog.events e
                WHERE e.user_id = claimed.user_id AND e.position > claimed.position
                ORDER BY e.position LIMIT $3
            ) AS e
        ) AS e
        WHERE e.own_before < $5
        LIMIT $4
    ) AS e
    WHERE e.before < $6
"""

UNPROJECTED: Final = _UNPROJECTED.format(more="")

UNPROJECTED_TRACED: Final = _UNPROJECTED.format(more=", e.metadata->>'traceparent' AS traceparent")
"""The same, with what goes on with the traces of the events."""

_LEFT_OUT: Final = f"CASE WHEN octet_length(t.body) > {SHORT_BYTES} THEN 3 * octet_length(t.body) END AS left_out"
"""A column of a query over rows `t`: how many bytes of text were left out of a long row, with its text thrice."""


def _column(name: str) -> str:
    """Return a column of a row `t`; a time outside Python's calendar becomes the nearest time within it."""
    if COLUMNS[name] == "timestamptz":
        nearest = f"greatest('0002-01-01Z', least(t.{name}, '9998-12-31Z'))"
        return f"CASE WHEN t.{name} IS NOT NULL THEN {nearest} END AS {name}"
    return f"t.{name}"


def _if_short(name: str) -> str:
    """Return a column of a row `t`; null for a text of a long row."""
    if COLUMNS[name] != "text" or name == "user_id":
        return _column(name)
    return f"CASE WHEN octet_length(t.body) <= {SHORT_BYTES} THEN t.{name} END AS {name}"


TOUCHED: Final = f"""
    -- The rows of tasks $2 of users $1 as projected so far; the texts of long rows are left out.
    SELECT {", ".join(map(_if_short, TASK_COLUMNS))}, {_LEFT_OUT}
    FROM unnest($1::text[], $2::bigint[]) AS touched (user_id, id)
    CROSS JOIN LATERAL (
        SELECT * FROM tasklog.tasks t WHERE t.user_id = touched.user_id AND t.id = touched.id OFFSET 0
    ) AS t
"""

DELETED: Final = """
    -- How many bytes of data the tasks $2 of users $1 had at versions $3: tasks that were deleted, and have no row.
    SELECT deleted.user_id, deleted.id, sum(last.bytes)::bigint AS bytes
    FROM unnest($1::text[], $2::bigint[], $3::integer[]) AS deleted (user_id, id, version)
    CROSS JOIN LATERAL tasklog.last_positions(deleted.user_id, deleted.id, deleted.version, NULL) AS last
    GROUP BY deleted.user_id, deleted.id
"""

WHOLE_ROWS: Final = f"""
    -- The rows of the tasks $2 of users $1, with all columns.
    SELECT {", ".join(map(_column, COLUMNS))}
    FROM unnest($1::text[], $2::bigint[]) AS touched (user_id, id)
    CROSS JOIN LATERAL (
        SELECT * FROM tasklog.tasks t WHERE t.user_id = touched.user_id AND t.id = touched.id OFFSET 0
    ) AS t
"""

PUT: Final = f"""
    -- Insert or update the rows.
    INSERT INTO tasklog.tasks ({", ".join(COLUMNS)})
    SELECT * FROM unnest({", ".join(f"${n}::{kind}[]" for n, kind in enumerate(COLUMNS.values(), start=1))})
    ON CONFLICT (user_id, id) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in list(COLUMNS)[2:])}
"""

REMOVE: Final = """
    -- Remove the rows of deleted tasks.
    DELETE FROM tasklog.tasks t WHERE t.ctid = ANY (ARRAY(
        SELECT found.ctid FROM unnest($1::text[], $2::bigint[]) AS deleted (user_id, id)
        CROSS JOIN LATERAL (
            SELECT t.ctid FROM tasklog.tasks t WHERE t.user_id = deleted.user_id AND t.id = deleted.id OFFSET 0
        ) AS found
    ))
"""

ADVANCE: Final = f"""
    -- Move the checkpoints of users $1 to $2, in the transaction that changed their rows, $3 more of them, $4 of these
    -- completed; advancing clears parking. If a user's rows were in another format, they are in several now.
    UPDATE tasklog.checkpoints c
    SET position = reached.position, attempts = 0, parked_until = NULL, error = NULL,
        task_count = CASE WHEN {IN_FORMAT} THEN c.task_count + reached.tasks END,
        completed_count = CASE WHEN {IN_FORMAT} THEN c.completed_count + reached.completed END,
        row_format = CASE WHEN {IN_FORMAT} THEN tasklog.format_at('{ROW_FORMAT}', reached.position, c.mended_at) END
    FROM unnest($1::text[], $2::bigint[], $3::integer[], $4::integer[])
        AS reached (user_id, position, tasks, completed)
    WHERE c.user_id = reached.user_id AND c.user_id = ANY ($1::text[])
"""

PARK: Final = """
    -- Park user $1 because of error $2: twice as long after each attempt, at most five minutes.
    UPDATE tasklog.checkpoints SET attempts = attempts + 1, error = $2,
        parked_until = clock_timestamp() + least(300, 2 ^ least(attempts, 9)) * interval '1 second'
    WHERE user_id = $1
"""

TRY_AGAIN: Final = """
    -- Let a projector try a parked user $1 at its next sweep; no row if the user is not parked.
    UPDATE tasklog.checkpoints SET parked_until = clock_timestamp()
    WHERE user_id = $1 AND parked_until IS NOT NULL RETURNING user_id
"""

CLEAR_UNPROJECTED: Final = """
    -- Clear the mark of users $1, who reached positions $2, if that is their head. A head that an append has locked is
    -- skipped and checked later, so the two never wait for each other. The `|| ''` makes the planner use the index only
    -- for the array: if both the join and the array used it, each user would cost as much as there are users.
    WITH locked AS (
        SELECT s.user_id, s.head, least(reached.position, (
            SELECT c.position FROM tasklog.checkpoints c WHERE c.user_id = reached.user_id)) AS position
        FROM unnest($1::text[], $2::bigint[]) AS reached (user_id, position)
        CROSS JOIN LATERAL (
            SELECT s.user_id, s.head FROM tasklog.streams s WHERE s.user_id = reached.user_id FOR UPDATE SKIP LOCKED
        ) AS s
    )
    UPDATE tasklog.streams s
    SET unprojected_since = CASE WHEN locked.head > locked.position THEN clock_timestamp() END
    FROM locked WHERE s.user_id = ANY ($1::text[]) AND s.user_id || '' = locked.user_id
"""

MARKED_WITHOUT_WORK: Final = """
    -- Marked users without unprojected events, and their positions, for CLEAR_UNPROJECTED.
    SELECT c.user_id, c.position
    FROM (SELECT s.user_id, s.head FROM tasklog.streams s WHERE s.unprojected_since IS NOT NULL) AS s
    CROSS JOIN LATERAL (
        SELECT c.user_id, c.position FROM tasklog.checkpoints c
        WHERE c.user_id = s.user_id AND c.position >= s.head OFFSET 0
    ) AS c
"""

ROWS_WHERE: Final = f"""
    -- Rows in the form of `read_model.rows.Row`, and how many bytes were left out of them.
    SELECT {", ".join(map(_if_short, COLUMNS))}, {_LEFT_OUT} FROM tasklog.tasks t WHERE """

WAKE_FORGOTTEN: Final = """
    -- Of the next $2 streams from user $1 on, mark those that are ahead of their checkpoint, or have lost it, but are
    -- not marked. Return the last user, and how many streams were marked. A locked head is skipped, as its holder marks
    -- it. The ETags of lists change with mended_at, which the lost checkpoint may have had.
    WITH next AS (
        SELECT user_id FROM tasklog.streams WHERE user_id >= $1 ORDER BY user_id LIMIT $2
    ), forgotten AS (
        SELECT s.user_id
        FROM next JOIN tasklog.streams s USING (user_id) LEFT JOIN tasklog.checkpoints c USING (user_id)
        WHERE s.unprojected_since IS NULL AND s.head > coalesce(c.position, 0)
        ORDER BY s.user_id FOR UPDATE OF s SKIP LOCKED
    ), enrolled AS (
        INSERT INTO tasklog.checkpoints (user_id, position, rebuild, mended_at)
        SELECT user_id, 0, true, clock_timestamp() FROM forgotten ON CONFLICT (user_id) DO NOTHING
    ), marked AS (
        UPDATE tasklog.streams s SET unprojected_since = clock_timestamp()
        FROM forgotten WHERE s.user_id = forgotten.user_id RETURNING s.user_id
    ) SELECT (SELECT max(user_id) FROM next) AS last, (SELECT count(*) FROM next) AS looked_at,
             (SELECT count(*) FROM marked) AS marked
"""

FORGET_KEYS: Final = """
    -- Idempotency keys are kept for 24 hours. Delete the oldest $1 of the expired ones, and any as old as the last of
    -- these; return how many.
    WITH oldest AS (
        SELECT recorded_at FROM tasklog.idempotency_keys WHERE recorded_at < now() - interval '24 hours'
        ORDER BY recorded_at LIMIT $1
    ), forgotten AS (
        DELETE FROM tasklog.idempotency_keys WHERE recorded_at <= (SELECT max(recorded_at) FROM oldest)
        RETURNING recorded_at
    ) SELECT count(*) FROM forgotten
"""
