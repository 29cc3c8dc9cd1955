-- What a task is, or was, from a few of its events. migrations/templates.py repeats the parts that depend on a field.

-- The few events that give the state of some tasks, now or at a version. For each task these are: its first event, the
-- last event that set each field, and its last event, in order; see event_log/read.py. Each has an index, so a long
-- history costs no more than a short one. `head` and `hash` are of the user's stream now, in each row.
--
-- `light` limits the bytes of data that a task's events may have. For a task with more, and for all later tasks of that
-- user, only the index `n` is returned. Null sets no limit.
CREATE OR REPLACE FUNCTION tasklog.latest_events(users text[], tasks bigint[], versions integer[], light integer)
RETURNS TABLE (n integer, task_id bigint, "position" bigint, version integer, event_id uuid, type text,
               schema_version smallint, data text, recorded_at timestamptz, head bigint, hash bytea)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    heavy text[] := '{}';
    asked record;
    positions bigint[];
    bytes bigint;
BEGIN
    FOR asked IN
        SELECT a.user_id, a.task_id, coalesce(a.version, 2147483647) AS version, a.n
        FROM unnest(users, tasks, versions) WITH ORDINALITY AS a (user_id, task_id, version, n)
    LOOP
        n := asked.n;
        positions := NULL;
        IF asked.user_id <> ALL (heavy) THEN
            SELECT array_agg(l.position), sum(l.bytes) INTO positions, bytes
            FROM tasklog.last_positions(asked.user_id, asked.task_id, asked.version, NULL) l;
            CONTINUE WHEN positions IS NULL;
        END IF;
        IF positions IS NULL OR bytes > light THEN
            heavy := heavy || asked.user_id;
            task_id := NULL;
            RETURN NEXT;
        ELSE
            RETURN QUERY
            SELECT asked.n::integer, e.task_id, e.position, e.version, e.event_id, e.type, e.schema_version,
                   e.data::text, e.recorded_at, s.head, s.hash
            FROM tasklog.events e JOIN tasklog.streams s USING (user_id)
            WHERE e.user_id = asked.user_id AND e.position = ANY (positions) ORDER BY e.position;
        END IF;
    END LOOP;
END $$;

-- Positions and bytes of data of the few events that give a task at version `up_to`: the first event, and the last
-- event that set each of the fields `wanted`. Null means all fields, and adds the last event.
CREATE OR REPLACE FUNCTION tasklog.last_positions(owner text, of_task bigint, up_to integer, wanted text[])
RETURNS TABLE ("position" bigint, bytes integer)
LANGUAGE sql STABLE ROWS 5 AS $$
    SELECT e.position, octet_length(e.data::text)
    FROM tasklog.events e WHERE e.user_id = owner AND e.task_id = of_task AND e.version IN (
        1,
        -- EACH setter
        (SELECT e.version FROM tasklog.events e
         WHERE (wanted IS NULL OR '{setter.field}' = ANY (wanted)) AND e.user_id = owner AND e.task_id = of_task
           AND e.version <= up_to AND {setter.sets} ORDER BY e.version DESC LIMIT 1),
        -- END EACH
        (SELECT e.version FROM tasklog.events e
         WHERE wanted IS NULL AND e.user_id = owner AND e.task_id = of_task AND e.version <= up_to
         ORDER BY e.version DESC LIMIT 1))
$$;
