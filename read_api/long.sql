-- The read side's functions for long texts: short texts are read together, long ones separately and in parts.
--
-- OFFSET 0: each row is looked up by the index. Without it a plan, kept for a user of average size, may read all rows of
-- a heavy one.

-- The JSON of those of a user's tasks that still have the given version; nothing if the rows are not in `format`, see
-- read_model/formats.sql.
CREATE OR REPLACE FUNCTION tasklog.bodies(owner text, ids bigint[], versions integer[], format text)
RETURNS TABLE (id bigint, body text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT t.id, tasklog.whole_body(t.body) FROM unnest(ids, versions) AS planned (id, version)
    CROSS JOIN LATERAL (
        SELECT t.id, t.body FROM tasklog.tasks t
        WHERE t.user_id = owner AND t.id = planned.id AND t.version = planned.version OFFSET 0
    ) AS t
    WHERE EXISTS (SELECT FROM tasklog.checkpoints c
                  WHERE c.user_id = owner AND tasklog.is_in_format(c.row_format, format, c.position, c.mended_at))
$$;

-- The same tasks in the given order, with commas between them, and how many there are: no client has to take rows apart.
CREATE OR REPLACE FUNCTION tasklog.joined_bodies(owner text, ids bigint[], versions integer[], format text)
RETURNS TABLE (number bigint, bodies bytea)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT count(*), convert_to(string_agg(tasklog.whole_body(t.body), ',' ORDER BY planned.n), 'UTF8')
    FROM unnest(ids, versions) WITH ORDINALITY AS planned (id, version, n)
    CROSS JOIN LATERAL (
        SELECT t.id, t.body FROM tasklog.tasks t
        WHERE t.user_id = owner AND t.id = planned.id AND t.version = planned.version OFFSET 0
    ) AS t
    WHERE EXISTS (SELECT FROM tasklog.checkpoints c
                  WHERE c.user_id = owner AND tasklog.is_in_format(c.row_format, format, c.position, c.mended_at))
$$;

-- One task of a user: `version` and `body` if no later event of it is unprojected. Otherwise `touched` holds its row, if
-- it has one, and `tail` its unprojected events; see read_api/queries.py. If the task, or the events that change it, are
-- longer than `room` bytes, it `is_long`, and nothing else is returned. If the rows are not in `format` (see
-- read_model/formats.sql), nothing counts as projected. Of a user without a stream here (see event_log/moves.sql)
-- nothing is returned.
CREATE OR REPLACE FUNCTION tasklog.short_task(owner text, wanted_id bigint, room integer, format text)
RETURNS TABLE (version integer, body text, touched json, tail json, is_long boolean)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    is_behind boolean;
    bytes bigint;
    projected bigint;
    newest bigint;
BEGIN
    is_long := false;
    SELECT t.version, CASE WHEN octet_length(t.body) <= room THEN tasklog.whole_body(t.body) END, octet_length(t.body),
           EXISTS (SELECT FROM tasklog.events e
                   WHERE e.user_id = owner AND e.task_id = wanted_id AND e.version > t.version)
    INTO version, body, bytes, is_behind
    FROM tasklog.tasks t JOIN tasklog.checkpoints c ON c.user_id = t.user_id
    WHERE t.user_id = owner AND t.id = wanted_id
      AND tasklog.is_in_format(c.row_format, format, c.position, c.mended_at)
      AND EXISTS (SELECT FROM tasklog.streams s WHERE s.user_id = owner);
    IF NOT is_behind THEN
        is_long := bytes > room;
        RETURN NEXT;
        RETURN;
    END IF;
    SELECT coalesce(max(c.position), 0) INTO projected FROM tasklog.checkpoints c
    WHERE c.user_id = owner AND tasklog.is_in_format(c.row_format, format, c.position, c.mended_at);
    IF short_task.version IS NULL THEN
        -- A task without a row is deleted, or all of its events are unprojected. The last one tells which.
        SELECT e.position INTO newest FROM tasklog.events e
        WHERE e.user_id = owner AND e.task_id = wanted_id
          AND EXISTS (SELECT FROM tasklog.streams s WHERE s.user_id = owner) ORDER BY e.version DESC LIMIT 1;
        IF coalesce(newest, 0) <= projected THEN
            RETURN NEXT;
            RETURN;
        END IF;
    END IF;
    -- By the task's versions, so that neither the rest of its history nor of the user's tail is read.
    bytes := coalesce(bytes, 0) + (
        SELECT coalesce(sum(tasklog.most_bytes(e.data) + 150), 0) FROM tasklog.events e
        WHERE e.user_id = owner AND e.task_id = wanted_id AND e.version > coalesce(short_task.version, 0));
    is_long := bytes > room;
    IF NOT is_long THEN
        SELECT json_agg(later ORDER BY later.version) INTO tail FROM (
            SELECT e.task_id, e.position, e.version, e.type, e.schema_version, e.data::text, e.recorded_at
            FROM tasklog.events e
            WHERE e.user_id = owner AND e.task_id = wanted_id AND e.version > coalesce(short_task.version, 0)) AS later;
        SELECT json_build_array(row_to_json(t)) INTO touched FROM tasklog.tasks t
        WHERE t.user_id = owner AND t.id = wanted_id AND short_task.version IS NOT NULL;
    END IF;
    version := NULL;
    body := NULL;
    RETURN NEXT;
END $$;

-- The same for each pair of `users` and `ids`, with its number `n`. Nearly all rows are up to date: those are read by one
-- statement, as to call a function for each takes longer than to read its row.
CREATE OR REPLACE FUNCTION tasklog.short_tasks(users text[], ids bigint[], room integer, format text)
RETURNS TABLE (n bigint, version integer, body text, touched json, tail json, is_long boolean)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY WITH asked AS MATERIALIZED (
        SELECT a.n, a.user_id, a.id, found.*
        FROM unnest(users, ids) WITH ORDINALITY AS a (user_id, id, n)
        LEFT JOIN LATERAL (
            SELECT t.version, CASE WHEN octet_length(t.body) <= room THEN tasklog.whole_body(t.body) END AS body,
                   octet_length(t.body) > room AS is_long
            FROM tasklog.tasks t
            WHERE t.user_id = a.user_id AND t.id = a.id
              AND EXISTS (SELECT FROM tasklog.streams s WHERE s.user_id = a.user_id)
              AND EXISTS (SELECT FROM tasklog.checkpoints c WHERE c.user_id = a.user_id
                          AND tasklog.is_in_format(c.row_format, format, c.position, c.mended_at))
              AND NOT EXISTS (SELECT FROM tasklog.events e
                              WHERE e.user_id = a.user_id AND e.task_id = a.id AND e.version > t.version)
            OFFSET 0
        ) AS found ON true
    )
    SELECT a.n, a.version, a.body, NULL::json, NULL::json, a.is_long FROM asked a WHERE a.version IS NOT NULL
    UNION ALL
    SELECT a.n, late.* FROM asked a CROSS JOIN LATERAL tasklog.short_task(a.user_id, a.id, room, format) AS late
    WHERE a.version IS NULL;
END $$;

-- The events that give some of a user's tasks at a position, see tasklog.last_positions; in order of version. Long data
-- are left out, see `left_out`.
CREATE OR REPLACE FUNCTION tasklog.tasks_at(owner text, ids bigint[], until bigint)
RETURNS TABLE (user_id text, task_id bigint, "position" bigint, version integer, type text, schema_version smallint,
               data text, recorded_at timestamptz, left_out integer)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT owner, e.task_id, e.position, e.version, e.type, e.schema_version,
           CASE WHEN tasklog.most_bytes(e.data) <= 8192 THEN e.data::text END, e.recorded_at,
           CASE WHEN tasklog.most_bytes(e.data) > 8192 THEN tasklog.most_bytes(e.data) END
    FROM unnest(ids) AS wanted (id)
    CROSS JOIN LATERAL tasklog.version_at(owner, wanted.id, until) AS newest (version)
    CROSS JOIN LATERAL tasklog.last_positions(owner, wanted.id, newest.version, NULL) AS last
    CROSS JOIN LATERAL (
        SELECT e.* FROM tasklog.events e WHERE e.user_id = owner AND e.position = last.position OFFSET 0) AS e
    WHERE newest.version > 0
    ORDER BY e.task_id, e.version
$$;

-- A user's events after one position and up to another, in order; long data are left out, see `left_out`.
CREATE OR REPLACE FUNCTION tasklog.short_events(owner text, after bigint, until bigint, at_most integer)
RETURNS TABLE (user_id text, task_id bigint, "position" bigint, version integer, type text, schema_version smallint,
               data text, recorded_at timestamptz, left_out integer)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT e.user_id, e.task_id, e.position, e.version, e.type, e.schema_version,
           CASE WHEN tasklog.most_bytes(e.data) <= 8192 THEN e.data::text END, e.recorded_at,
           CASE WHEN tasklog.most_bytes(e.data) > 8192 THEN tasklog.most_bytes(e.data) END
    FROM tasklog.events e WHERE e.user_id = owner AND e.position > after AND e.position <= until
    ORDER BY e.position LIMIT at_most
$$;

-- The events at some positions of a user's stream, with their data.
CREATE OR REPLACE FUNCTION tasklog.texts(owner text, positions bigint[])
RETURNS TABLE (user_id text, "position" bigint, type text, schema_version smallint, data text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT e.user_id, e.position, e.type, e.schema_version, e.data::text
    FROM unnest(positions) AS at CROSS JOIN LATERAL (
        SELECT e.* FROM tasklog.events e WHERE e.user_id = owner AND e.position = at OFFSET 0) AS e
$$;
