-- The read side's functions for lists of tasks in the order of an index; find.sql has those for filters and all sorts.
-- migrations/templates.py repeats the parts that depend on a sort.

-- A user's list of tasks; see read_api/queries.py. It holds the tasks whose `completed` is `wanted`, or all for null. A
-- page begins after a place: the sort key of a task, as text, and its id.
--
-- Without a tail and without a page, `body` is the whole answer. Otherwise the caller merges these parts: `page` [[sort
-- key, id, body]] holds the tasks that the tail does not touch, one more than requested; `touched` holds the rows of
-- the others; `tail` holds the events that are not projected yet; `total` is the number of untouched tasks. `mark`
-- belongs to the event at the head, see tasklog.head_mark.
--
-- A list of more than `room` bytes `is_long`: only the head is returned. Sizes are known without reading texts. Null
-- sets no limit. A list with a restored task in its tail counts as long, too: no row tells what the task was.
--
-- If the rows are not in `format` (see read_model/formats.sql), nothing counts as projected: all events are the tail.
--
-- Plans are generic: the planner thinks that it gains by the length of `touched_ids`, and would plan each call anew.
CREATE OR REPLACE FUNCTION tasklog.short_list(
    owner text, wanted boolean, sort text, after_key text, after_id bigint, page_size integer, room integer, format text
) RETURNS TABLE (
    head bigint, mark text, body text, page json, touched json, tail json, total bigint, is_long boolean
) LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
DECLARE
    most_rows CONSTANT integer := room / 100; -- no task's JSON is shorter
    short CONSTANT integer := 4096;
    projected bigint;
    rows_of text;
    touched_ids bigint[] := '{}';
    restored boolean;
    bytes bigint;
    longest integer;
    rows bigint;
BEGIN
    is_long := false;
    SELECT s.head, tasklog.head_mark(s.hash, c.mended_at), coalesce(c.position, 0),
           CASE WHEN tasklog.is_in_format(c.row_format, format, c.position, c.mended_at) THEN owner END
    INTO head, mark, projected, rows_of
    FROM tasklog.streams s LEFT JOIN tasklog.checkpoints c USING (user_id) WHERE s.user_id = owner;
    head := coalesce(head, 0);
    IF rows_of IS NULL THEN
        projected := 0;
    END IF;
    IF head > projected + most_rows THEN
        is_long := true;
        RETURN NEXT;
        RETURN;
    ELSIF head > projected THEN
        -- An event takes some 150 bytes of JSON beside its data.
        SELECT coalesce(sum(tasklog.most_bytes(e.data) + 150), 0),
               coalesce(array_agg(DISTINCT e.task_id) FILTER (WHERE e.task_id IS NOT NULL), '{}'),
               bool_or(e.type = 'task.restored')
        INTO bytes, touched_ids, restored FROM tasklog.events e WHERE e.user_id = owner AND e.position > projected;
        bytes := bytes + (SELECT coalesce(sum(octet_length(t.body)), 0)
                          FROM tasklog.rows_of_tasks(rows_of, touched_ids) t);
        IF bytes > room OR (restored AND format IS NOT NULL) THEN
            is_long := true;
            RETURN NEXT;
            RETURN;
        END IF;
        SELECT json_agg(e ORDER BY e.position) INTO tail FROM tasklog.tail(owner, projected) e;
        SELECT json_agg(t) INTO touched FROM tasklog.rows_of_tasks(rows_of, touched_ids) t;
    ELSIF page_size IS NULL AND after_id IS NULL THEN
        -- Leave long rows out at first, so that no long list is built only to be discarded.
        -- EACH indexed
        IF sort = '{indexed.name}' THEN
            SELECT '[' || coalesce(string_agg(t.body, ',') FILTER (WHERE octet_length(t.body) <= short), '') || ']',
                   count(*), sum(octet_length(t.body)), max(octet_length(t.body)) INTO body, rows, bytes, longest
            FROM (SELECT tasklog.whole_body(t.body) AS body FROM tasklog.tasks t
                  WHERE t.user_id = rows_of AND (wanted IS NULL OR t.completed = wanted)
                  ORDER BY {indexed.order} LIMIT most_rows) t;
        END IF;
        -- END EACH
        is_long := coalesce(rows = most_rows OR bytes > room, false);
        IF is_long THEN
            body := NULL;
        ELSIF longest > short THEN
            -- EACH indexed
            IF sort = '{indexed.name}' THEN
                SELECT '[' || string_agg(tasklog.whole_body(t.body), ',' ORDER BY {indexed.order}) || ']'
                INTO body FROM tasklog.tasks t
                WHERE t.user_id = rows_of AND (wanted IS NULL OR t.completed = wanted);
            END IF;
            -- END EACH
        END IF;
        RETURN NEXT;
        RETURN;
    END IF;
    -- EACH indexed
    IF sort = '{indexed.name}' THEN
        SELECT json_agg(json_build_array(p.{indexed.column}, p.id, p.body)) FILTER (WHERE octet_length(p.body) <= short),
               count(*), sum(octet_length(p.body)), max(octet_length(p.body)) INTO page, rows, bytes, longest
        FROM (SELECT t.{indexed.column}, t.id, tasklog.whole_body(t.body) AS body FROM tasklog.tasks t
              WHERE t.user_id = rows_of AND (wanted IS NULL OR t.completed = wanted) AND t.id <> ALL (touched_ids)
                AND {indexed.behind}
              ORDER BY {indexed.order} LIMIT least(page_size + 1, most_rows)) p;
    END IF;
    -- END EACH
    is_long := coalesce(rows = most_rows OR bytes > room, false);
    IF longest > short AND NOT is_long THEN
        -- EACH indexed
        IF sort = '{indexed.name}' THEN
            SELECT json_agg(json_build_array(p.{indexed.column}, p.id, p.body)) INTO page FROM (
                SELECT t.{indexed.column}, t.id, tasklog.whole_body(t.body) AS body FROM tasklog.tasks t
                WHERE t.user_id = rows_of AND (wanted IS NULL OR t.completed = wanted) AND t.id <> ALL (touched_ids)
                  AND {indexed.behind}
                ORDER BY {indexed.order} LIMIT page_size + 1) p;
        END IF;
        -- END EACH
    END IF;
    IF is_long THEN
        page := NULL;
        touched := NULL;
        tail := NULL;
    ELSIF page_size IS NOT NULL THEN
        total := tasklog.count_rows(rows_of, wanted, touched_ids);
    END IF;
    RETURN NEXT;
END $$;

-- How many rows a user has, of those whose `completed` is `wanted`, or of all for null, without the tasks `touched`. The
-- projector keeps the numbers in the checkpoint. If they are not there, or a service of 1.0 has written rows since, all
-- are counted by an index alone, which has far fewer bytes than their rows.
CREATE OR REPLACE FUNCTION tasklog.count_rows(owner text, wanted boolean, touched bigint[]) RETURNS bigint
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    counted integer;
BEGIN
    SELECT CASE WHEN wanted IS NULL THEN c.task_count WHEN wanted THEN c.completed_count
                ELSE c.task_count - c.completed_count END
    INTO counted FROM tasklog.checkpoints c
    WHERE c.user_id = owner AND tasklog.is_in_format(c.row_format, tasklog.row_format(), c.position, c.mended_at);
    IF counted IS NOT NULL THEN
        RETURN counted - (SELECT count(*) FROM tasklog.rows_of_tasks(owner, touched) t
                          WHERE wanted IS NULL OR t.completed = wanted);
    END IF;
    IF wanted IS NULL THEN
        RETURN (SELECT count(*) FROM tasklog.tasks t WHERE t.user_id = owner AND t.id <> ALL (touched));
    END IF;
    RETURN (SELECT count(*) FROM tasklog.tasks t
            WHERE t.user_id = owner AND t.completed = wanted AND t.id <> ALL (touched));
END $$;

-- The plan of a long list: the head, the tasks that unprojected events change, and, in order, the id, version, size in
-- bytes and sort key of the others. A page has one more of these than requested; `total` counts all. If the rows are not
-- in `format`, nothing counts as projected.
CREATE OR REPLACE FUNCTION tasklog.long_list(
    owner text, wanted boolean, sort text, after_key text, after_id bigint, page_size integer, format text
) RETURNS TABLE (
    head bigint, mark text, touched bigint[], total bigint, ids bigint[], versions integer[], sizes integer[], keys json
) LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
DECLARE
    projected bigint;
    rows_of text;
BEGIN
    SELECT s.head, tasklog.head_mark(s.hash, c.mended_at), coalesce(c.position, 0),
           CASE WHEN tasklog.is_in_format(c.row_format, format, c.position, c.mended_at) THEN owner END
    INTO head, mark, projected, rows_of
    FROM tasklog.streams s LEFT JOIN tasklog.checkpoints c USING (user_id) WHERE s.user_id = owner;
    head := coalesce(head, 0);
    IF rows_of IS NULL THEN
        projected := 0;
    END IF;
    SELECT coalesce(array_agg(DISTINCT e.task_id) FILTER (WHERE e.task_id IS NOT NULL), '{}') INTO touched
    FROM tasklog.events e WHERE e.user_id = owner AND e.position > projected;
    -- EACH indexed
    IF sort = '{indexed.name}' THEN
        SELECT array_agg(p.id), array_agg(p.version), array_agg(p.size), json_agg(p.{indexed.column})
        INTO ids, versions, sizes, keys FROM (
            SELECT t.id, t.version, tasklog.body_bytes(t.body) AS size, t.{indexed.column} FROM tasklog.tasks t
            WHERE t.user_id = rows_of AND (wanted IS NULL OR t.completed = wanted) AND t.id <> ALL (touched)
              AND {indexed.behind}
            ORDER BY {indexed.order} LIMIT page_size + 1) p;
    END IF;
    -- END EACH
    IF page_size IS NOT NULL THEN
        total := tasklog.count_rows(rows_of, wanted, touched);
    END IF;
    RETURN NEXT;
END $$;
