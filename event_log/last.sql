-- What a task is, or was, from a few of its events. migrations/templates.py repeats the parts that depend on a field.

-- Events that give the state of some tasks, now or at a version. Of a short history these are all events. Of a long one
-- they are its first event, the last event that set each field, and its last event; each has an index, so any history
-- costs no more than these. They come in order; see event_log/read.py. `head` and `hash` are of the user's stream now, in
-- each row.
--
-- `light` limits the bytes of data that a task's events may have. For a task with more, and for all later tasks of that
-- user, only the index `n` is returned. Null sets no limit.
CREATE OR REPLACE FUNCTION tasklog.latest_events(users text[], tasks bigint[], versions integer[], light integer)
RETURNS TABLE (n integer, task_id bigint, "position" bigint, version integer, event_id uuid, type text,
               schema_version smallint, data text, recorded_at timestamptz, head bigint, hash bytea)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
DECLARE
    most_events CONSTANT integer := 8;
    most_bytes CONSTANT integer := 8192;
    heavy text[] := '{}';
    asked record;
BEGIN
    FOR asked IN
        SELECT a.user_id, a.version AS up_to, a.n, e.*, s.head, s.hash,
               count(*) OVER task > most_events OR sum(tasklog.most_bytes(e.data)) OVER task > least(most_bytes, light)
                   AS is_long,
               row_number() OVER task = 1 AS is_first
        FROM unnest(users, tasks, versions) WITH ORDINALITY AS a (user_id, task_id, version, n)
        CROSS JOIN LATERAL (
            -- OFFSET 0: always by the index, never joined with all streams.
            SELECT s.head, s.hash FROM tasklog.streams s WHERE s.user_id = a.user_id OFFSET 0
        ) AS s
        CROSS JOIN LATERAL (
            SELECT e.task_id, e.position, e.version, e.event_id, e.type, e.schema_version, e.data, e.recorded_at
            FROM tasklog.events e
            WHERE e.user_id = a.user_id AND e.task_id = a.task_id AND e.version <= coalesce(a.version, 2147483647)
            ORDER BY e.version DESC LIMIT most_events + 1
        ) AS e
        WINDOW task AS (PARTITION BY a.n ORDER BY e.version ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)
        ORDER BY a.n, e.version
    LOOP
        CONTINUE WHEN NOT asked.is_first AND (asked.is_long OR asked.user_id = ANY (heavy));
        n := asked.n;
        task_id := asked.task_id;
        IF asked.user_id <> ALL (heavy) AND asked.is_long THEN
            RETURN QUERY SELECT asked.n::integer, l.*, asked.head, asked.hash
            FROM tasklog.last_of_long(asked.user_id, asked.task_id, coalesce(asked.up_to, 2147483647), light) l;
            CONTINUE WHEN FOUND;
            heavy := heavy || asked.user_id;
        END IF;
        IF asked.user_id = ANY (heavy) THEN
            task_id := NULL;
        ELSE
            position := asked.position;
            version := asked.version;
            event_id := asked.event_id;
            type := asked.type;
            schema_version := asked.schema_version;
            data := asked.data::text;
            recorded_at := asked.recorded_at;
            head := asked.head;
            hash := asked.hash;
        END IF;
        RETURN NEXT;
    END LOOP;
END $$;

-- The few events of a long history that give a task at version `up_to`; none if they have more than `light` bytes.
CREATE OR REPLACE FUNCTION tasklog.last_of_long(owner text, of_task bigint, up_to integer, light integer)
RETURNS TABLE (task_id bigint, "position" bigint, version integer, event_id uuid, type text,
               schema_version smallint, data text, recorded_at timestamptz)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    positions bigint[];
    bytes bigint;
BEGIN
    SELECT array_agg(l.position), sum(l.bytes) INTO positions, bytes
    FROM tasklog.last_positions(owner, of_task, up_to, NULL) l;
    IF bytes <= light IS NOT FALSE THEN
        RETURN QUERY
        SELECT e.task_id, e.position, e.version, e.event_id, e.type, e.schema_version, e.data::text, e.recorded_at
        FROM unnest(positions) AS at CROSS JOIN LATERAL (
            SELECT e.* FROM tasklog.events e WHERE e.user_id = owner AND e.position = at OFFSET 0) AS e
        ORDER BY e.position;
    END IF;
END $$;

-- Positions and bytes of data of the few events that give a task at version `up_to`: the first event, and the last
-- event that set each of the fields `wanted`. Null means all fields, and adds the last event.
--
-- OFFSET 0: each version is looked up by the index. Without it a plan, kept for a user of average size, may read all
-- events of a user: of 100,000 events that took 50 ms for each task.
CREATE OR REPLACE FUNCTION tasklog.last_positions(owner text, of_task bigint, up_to integer, wanted text[])
RETURNS TABLE ("position" bigint, bytes integer)
LANGUAGE sql STABLE ROWS 5 AS $$
    SELECT e.position, octet_length(e.data::text)
    FROM (SELECT DISTINCT v AS version FROM unnest(ARRAY[
        1,
        -- EACH setter
        (SELECT e.version FROM tasklog.events e
         WHERE (wanted IS NULL OR '{setter.field}' = ANY (wanted)) AND e.user_id = owner AND e.task_id = of_task
           AND e.version <= up_to AND {setter.sets} ORDER BY e.version DESC LIMIT 1),
        -- END EACH
        (SELECT e.version FROM tasklog.events e
         WHERE wanted IS NULL AND e.user_id = owner AND e.task_id = of_task AND e.version <= up_to
         ORDER BY e.version DESC LIMIT 1)]) AS v) AS one
    CROSS JOIN LATERAL (
        SELECT e.position, e.data FROM tasklog.events e
        WHERE e.user_id = owner AND e.task_id = of_task AND e.version = one.version OFFSET 0) AS e
$$;
