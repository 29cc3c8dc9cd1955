-- The read side's functions for long texts: what is short is read together with others, what is long apart and in parts.

-- A user's list of tasks as tasklog.list_tasks gives it (which stays for services of 1.0), unless it would take more
-- than `room` bytes: then `is_long` is true, and there is nothing but the head. Sizes are known without reading a text.
CREATE OR REPLACE FUNCTION tasklog.short_list(
    owner text, wanted boolean, sort text, after_key text, after_id bigint, page_size integer, room integer
) RETURNS TABLE (
    head bigint, mark text, body text, page json, touched json, tail json, total bigint, is_long boolean
) LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    most_rows CONSTANT integer := room / 100; -- no task's JSON is shorter
    short CONSTANT integer := 4096;
    projected bigint;
    touched_ids bigint[] := '{}';
    bytes bigint;
    longest integer;
    rows bigint;
BEGIN
    is_long := false;
    SELECT s.head, tasklog.head_mark(s.hash, c.mended_at), coalesce(c.position, 0) INTO head, mark, projected
    FROM tasklog.streams s LEFT JOIN tasklog.checkpoints c USING (user_id) WHERE s.user_id = owner;
    head := coalesce(head, 0);
    IF head > projected THEN
        SELECT coalesce(sum(tasklog.most_bytes(e.data)), 0),
               coalesce(array_agg(DISTINCT e.task_id) FILTER (WHERE e.task_id IS NOT NULL), '{}')
        INTO bytes, touched_ids FROM tasklog.events e WHERE e.user_id = owner AND e.position > projected;
        bytes := bytes + (SELECT coalesce(sum(octet_length(t.body)), 0) FROM tasklog.tasks t
                          WHERE t.user_id = owner AND t.id = ANY (touched_ids));
        IF bytes > room THEN
            is_long := true;
            RETURN NEXT;
            RETURN;
        END IF;
        SELECT json_agg(e ORDER BY e.position) INTO tail FROM tasklog.tail(owner, projected) e;
        SELECT json_agg(t) INTO touched FROM tasklog.tasks t WHERE t.user_id = owner AND t.id = ANY (touched_ids);
    ELSIF page_size IS NULL AND after_id IS NULL THEN
        -- Long rows are left out at first: a list of them is not to be made only to be thrown away.
        IF sort = 'title' THEN
            SELECT '[' || coalesce(string_agg(t.body, ',') FILTER (WHERE octet_length(t.body) <= short), '') || ']',
                   count(*), sum(octet_length(t.body)), max(octet_length(t.body)) INTO body, rows, bytes, longest
            FROM (SELECT t.body FROM tasklog.tasks t
                  WHERE t.user_id = owner AND (wanted IS NULL OR t.completed = wanted)
                  ORDER BY t.title_key, t.id LIMIT most_rows) t;
        ELSE
            SELECT '[' || coalesce(string_agg(t.body, ',') FILTER (WHERE octet_length(t.body) <= short), '') || ']',
                   count(*), sum(octet_length(t.body)), max(octet_length(t.body)) INTO body, rows, bytes, longest
            FROM (SELECT t.body FROM tasklog.tasks t
                  WHERE t.user_id = owner AND (wanted IS NULL OR t.completed = wanted)
                  ORDER BY t.created_position DESC LIMIT most_rows) t;
        END IF;
        is_long := rows = most_rows OR coalesce(bytes, 0) > room;
        IF is_long THEN
            body := NULL;
        ELSIF longest > short THEN
            SELECT l.body INTO body FROM tasklog.list_tasks(owner, wanted, sort, NULL, NULL, NULL) l;
        END IF;
        RETURN NEXT;
        RETURN;
    END IF;
    IF sort = 'title' THEN
        SELECT count(*), coalesce(sum(octet_length(t.body)), 0) INTO rows, bytes FROM (
            SELECT t.body FROM tasklog.tasks t
            WHERE t.user_id = owner AND (wanted IS NULL OR t.completed = wanted) AND t.id <> ALL (touched_ids)
              AND (t.title_key, t.id) > (coalesce(after_key, ''), coalesce(after_id, -1))
            ORDER BY t.title_key, t.id LIMIT least(page_size + 1, most_rows)) t;
    ELSE
        SELECT count(*), coalesce(sum(octet_length(t.body)), 0) INTO rows, bytes FROM (
            SELECT t.body FROM tasklog.tasks t
            WHERE t.user_id = owner AND (wanted IS NULL OR t.completed = wanted) AND t.id <> ALL (touched_ids)
              AND t.created_position < coalesce(after_id, 9223372036854775807)
            ORDER BY t.created_position DESC LIMIT least(page_size + 1, most_rows)) t;
    END IF;
    IF rows = most_rows OR bytes > room THEN
        is_long := true;
        touched := NULL;
        tail := NULL;
        RETURN NEXT;
        RETURN;
    END IF;
    IF sort = 'title' THEN
        SELECT json_agg(json_build_array(p.title_key, p.id, p.body)) INTO page FROM (
            SELECT t.title_key, t.id, t.body FROM tasklog.tasks t
            WHERE t.user_id = owner AND (wanted IS NULL OR t.completed = wanted) AND t.id <> ALL (touched_ids)
              AND (t.title_key, t.id) > (coalesce(after_key, ''), coalesce(after_id, -1))
            ORDER BY t.title_key, t.id LIMIT page_size + 1) p;
    ELSE
        SELECT json_agg(json_build_array(p.created_position, p.id, p.body)) INTO page FROM (
            SELECT t.created_position, t.id, t.body FROM tasklog.tasks t
            WHERE t.user_id = owner AND (wanted IS NULL OR t.completed = wanted) AND t.id <> ALL (touched_ids)
              AND t.created_position < coalesce(after_id, 9223372036854775807)
            ORDER BY t.created_position DESC LIMIT page_size + 1) p;
    END IF;
    IF page_size IS NOT NULL THEN
        SELECT count(*) INTO total FROM tasklog.tasks t
        WHERE t.user_id = owner AND (wanted IS NULL OR t.completed = wanted) AND t.id <> ALL (touched_ids);
    END IF;
    RETURN NEXT;
END $$;

-- What a long list is made of: the head, the tasks that unprojected events change, and in order of their place the id,
-- version, size in bytes and sort key of the others. A page has one more of them than asked for, `total` counts all.
CREATE OR REPLACE FUNCTION tasklog.list_plan(
    owner text, wanted boolean, sort text, after_key text, after_id bigint, page_size integer
) RETURNS TABLE (
    head bigint, mark text, touched bigint[], total bigint, ids bigint[], versions integer[], sizes integer[],
    titles text[], positions bigint[]
) LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    projected bigint;
BEGIN
    SELECT s.head, tasklog.head_mark(s.hash, c.mended_at), coalesce(c.position, 0) INTO head, mark, projected
    FROM tasklog.streams s LEFT JOIN tasklog.checkpoints c USING (user_id) WHERE s.user_id = owner;
    head := coalesce(head, 0);
    SELECT coalesce(array_agg(DISTINCT e.task_id) FILTER (WHERE e.task_id IS NOT NULL), '{}') INTO touched
    FROM tasklog.events e WHERE e.user_id = owner AND e.position > projected;
    IF sort = 'title' THEN
        SELECT array_agg(p.id), array_agg(p.version), array_agg(p.size), array_agg(p.title_key)
        INTO ids, versions, sizes, titles FROM (
            SELECT t.id, t.version, octet_length(t.body) AS size, t.title_key FROM tasklog.tasks t
            WHERE t.user_id = owner AND (wanted IS NULL OR t.completed = wanted) AND t.id <> ALL (touched)
              AND (t.title_key, t.id) > (coalesce(after_key, ''), coalesce(after_id, -1))
            ORDER BY t.title_key, t.id LIMIT page_size + 1) p;
    ELSE
        SELECT array_agg(p.id), array_agg(p.version), array_agg(p.size), array_agg(p.created_position)
        INTO ids, versions, sizes, positions FROM (
            SELECT t.id, t.version, octet_length(t.body) AS size, t.created_position FROM tasklog.tasks t
            WHERE t.user_id = owner AND (wanted IS NULL OR t.completed = wanted) AND t.id <> ALL (touched)
              AND t.created_position < coalesce(after_id, 9223372036854775807)
            ORDER BY t.created_position DESC LIMIT page_size + 1) p;
    END IF;
    IF page_size IS NOT NULL THEN
        SELECT count(*) INTO total FROM tasklog.tasks t
        WHERE t.user_id = owner AND (wanted IS NULL OR t.completed = wanted) AND t.id <> ALL (touched);
    END IF;
    RETURN NEXT;
END $$;

-- The JSON of some of a user's tasks, of those that still have the version that goes with the id.
CREATE OR REPLACE FUNCTION tasklog.bodies(owner text, ids bigint[], versions integer[])
RETURNS TABLE (id bigint, body text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT t.id, t.body FROM unnest(ids, versions) AS planned (id, version)
    JOIN tasklog.tasks t ON t.user_id = owner AND t.id = planned.id AND t.version = planned.version
$$;

-- One task of a user as tasklog.get_task gives it (which stays for services of 1.0), unless it is longer than `room`
-- bytes, or the events that change it are.
CREATE OR REPLACE FUNCTION tasklog.short_task(owner text, wanted_id bigint, room integer)
RETURNS TABLE (version integer, body text, touched json, tail json, is_long boolean)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    bytes bigint;
BEGIN
    is_long := false;
    SELECT t.version, CASE WHEN octet_length(t.body) <= room THEN t.body END, octet_length(t.body)
    INTO version, body, bytes FROM tasklog.tasks t WHERE t.user_id = owner AND t.id = wanted_id;
    IF FOUND AND NOT EXISTS (
        SELECT FROM tasklog.events e WHERE e.user_id = owner AND e.task_id = wanted_id AND e.version > short_task.version
    ) THEN
        is_long := bytes > room;
        RETURN NEXT;
        RETURN;
    END IF;
    bytes := coalesce(bytes, 0) + (
        SELECT coalesce(sum(tasklog.most_bytes(e.data)), 0) FROM tasklog.events e
        WHERE e.user_id = owner AND e.task_id = wanted_id AND e.version > coalesce(short_task.version, 0));
    version := NULL;
    body := NULL;
    is_long := bytes > room;
    IF NOT is_long THEN
        SELECT g.version, g.body, g.touched, g.tail INTO version, body, touched, tail
        FROM tasklog.get_task(owner, wanted_id) g;
    END IF;
    RETURN NEXT;
END $$;

-- The events that say what some of a user's tasks were at a position: of each the first, those that last set a title, a
-- description and the completion, and the last; in order of version. Long data are left out, see `left_out`.
CREATE OR REPLACE FUNCTION tasklog.tasks_at(owner text, ids bigint[], until bigint)
RETURNS TABLE (user_id text, task_id bigint, "position" bigint, version integer, type text, schema_version smallint,
               data text, recorded_at timestamptz, left_out integer)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT owner, e.task_id, e.position, e.version, e.type, e.schema_version,
           CASE WHEN tasklog.most_bytes(e.data) <= 8192 THEN e.data::text END, e.recorded_at,
           CASE WHEN tasklog.most_bytes(e.data) > 8192 THEN tasklog.most_bytes(e.data) END
    FROM unnest(ids) AS wanted (id)
    CROSS JOIN LATERAL tasklog.version_at(owner, wanted.id, until) AS newest (version)
    JOIN tasklog.events e ON newest.version > 0 AND e.user_id = owner AND e.task_id = wanted.id
     AND (e.version = newest.version OR e.position IN (
          SELECT b.position FROM tasklog.state_before(owner, wanted.id, newest.version + 1, true, true, true) b))
    ORDER BY e.task_id, e.version
$$;

-- The events of a user behind one position and up to another, in order; long data are left out, see `left_out`.
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
    FROM tasklog.events e WHERE e.user_id = owner AND e.position = ANY (positions)
$$;
