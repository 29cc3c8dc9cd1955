-- The read side's functions for lists that filters, words or any of the sorts ask for; lists.sql reads those that an
-- index has in order. They read all rows of a user once, so they need no index of their own: one on a column that
-- changes would end HOT updates. migrations/templates.py repeats the parts that depend on a sort.

-- Whether a row has what a query asks for: `wanted` is its `completed`, `lines` are patterns of its facets, `words` of
-- its searched text; it is due at `due_after` or later and before `due_before`, in microseconds from 1970. Nulls ask
-- for nothing. A row without facets has those of a plain task, and one without a searched text has that of its title, see
-- read_model/rows.py. Postgres inlines this function.
CREATE OR REPLACE FUNCTION tasklog.is_found(
    t tasklog.tasks, wanted boolean, lines text[], words text[], due_after bigint, due_before bigint
) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT ($2 IS NULL OR ($1).completed = $2)
       AND ($5 IS NULL OR ($1).due_key >= $5)
       AND ($6 IS NULL OR ($1).due_key < $6)
       AND ($3 IS NULL OR coalesce(($1).facets, '{PLAIN_FACETS}') LIKE ALL ($3))
       AND ($4 IS NULL OR coalesce(($1).search_text, ($1).title_key COLLATE "default") LIKE ALL ($4))
$$;

-- All that a query finds among a user's rows, as a JSON array in order, with the number of tasks, their bytes and those
-- of the longest. Tasks of more than `short` bytes are left out of the array. At most `most_rows` rows are read,
-- in no order if there is no index: if `rows` is that many, there may be more.
CREATE OR REPLACE FUNCTION tasklog.found_array(
    rows_of text, wanted boolean, lines text[], words text[], due_after bigint, due_before bigint, sort text,
    most_rows integer, short integer
) RETURNS TABLE (body text, rows bigint, bytes bigint, longest integer) LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
BEGIN
    -- EACH sort
    IF sort = '{sort.name}' THEN
        SELECT '[' || coalesce(string_agg(f.body, ',' {sort.key_order})
                               FILTER (WHERE octet_length(f.body) <= short), '') || ']',
               count(*), coalesce(sum(octet_length(f.body)), 0), coalesce(max(octet_length(f.body)), 0)
        INTO body, rows, bytes, longest FROM (
            SELECT tasklog.whole_body(t.body) AS body, t.id, {sort.expression} AS key FROM tasklog.tasks t
            WHERE t.user_id = rows_of AND tasklog.is_found(t, wanted, lines, words, due_after, due_before)
            {sort.scan_order} LIMIT most_rows) f;
    END IF;
    -- END EACH
    RETURN NEXT;
END $$;

-- The found tasks among a user's rows but for those of `touched`: in order, the id, version, size in bytes and sort key
-- of each, from the place `after_key` and `after_id` on. A page has one more of these than requested; `total` counts
-- all that are found.
CREATE OR REPLACE FUNCTION tasklog.places(
    rows_of text, touched bigint[], wanted boolean, lines text[], words text[], due_after bigint, due_before bigint,
    sort text, after_key text, after_id bigint, page_size integer
) RETURNS TABLE (total bigint, ids bigint[], versions integer[], sizes integer[], keys json)
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
BEGIN
    -- EACH sort
    IF sort = '{sort.name}' THEN
        WITH found AS MATERIALIZED (
            SELECT t.id, t.version, tasklog.body_bytes(t.body) AS size, {sort.expression} AS key FROM tasklog.tasks t
            WHERE t.user_id = rows_of AND t.id <> ALL (touched)
              AND tasklog.is_found(t, wanted, lines, words, due_after, due_before)
        )
        SELECT (SELECT count(*) FROM found),
               array_agg(p.id), array_agg(p.version), array_agg(p.size), json_agg({sort.key_of_page})
        INTO total, ids, versions, sizes, keys FROM (
            SELECT f.* FROM found f
            WHERE after_id IS NULL OR (f.key, f.id) {sort.sign} ({sort.after}, after_id)
            ORDER BY f.key {sort.direction}, f.id {sort.direction} LIMIT page_size + 1) p;
    END IF;
    -- END EACH
    RETURN NEXT;
END $$;

-- A user's head, its mark (see tasklog.head_mark), the position up to which rows can be read, and whose they are: if
-- they are not in `format` (see read_model/formats.sql), nothing counts as projected, and `rows_of` is null.
CREATE OR REPLACE FUNCTION tasklog.standing(owner text, format text)
RETURNS TABLE (head bigint, mark text, projected bigint, rows_of text) LANGUAGE sql STABLE AS $$
    SELECT coalesce(s.head, 0), tasklog.head_mark(s.hash, c.mended_at),
           CASE WHEN tasklog.is_in_format(c.row_format, $2, c.position, c.mended_at) THEN c.position ELSE 0 END,
           CASE WHEN tasklog.is_in_format(c.row_format, $2, c.position, c.mended_at) THEN c.user_id END
    FROM (VALUES ($1)) AS asked (user_id)
    LEFT JOIN tasklog.streams s USING (user_id) LEFT JOIN tasklog.checkpoints c USING (user_id)
$$;

-- The ids of the tasks that a user's events behind a position touch, and about how many bytes these events take as JSON.
CREATE OR REPLACE FUNCTION tasklog.touched(owner text, projected bigint) RETURNS TABLE (ids bigint[], bytes bigint)
LANGUAGE sql STABLE AS $$
    -- An event takes some 150 bytes of JSON beside its data.
    SELECT coalesce(array_agg(DISTINCT e.task_id) FILTER (WHERE e.task_id IS NOT NULL), '{}'),
           coalesce(sum(tasklog.most_bytes(e.data) + 150), 0)
    FROM tasklog.events e WHERE e.user_id = $1 AND e.position > $2
$$;

-- The tasks of a user that a query finds, see tasklog.is_found. Without a tail and without a page, `body` is the whole
-- answer. Otherwise the caller merges these parts: `ids`, `keys` and `bodies` are of the found tasks that the tail does
-- not touch, in order, from a place on, and one more than requested; `touched` holds the rows of the others; `tail`
-- holds the events that are not projected yet; `total` counts all found tasks that are untouched.
--
-- If the parts take more than `room` bytes, the list `is_long`, and only the head is returned. So it is with a restored
-- task in the tail: no row tells what the task was. The plans are generic, as Postgres would take those for given
-- filters to be worth a plan for each call.
CREATE OR REPLACE FUNCTION tasklog.find_tasks(
    owner text, wanted boolean, lines text[], words text[], due_after bigint, due_before bigint,
    sort text, after_key text, after_id bigint, page_size integer, room integer, format text
) RETURNS TABLE (
    head bigint, mark text, body text, ids bigint[], keys json, bodies text[], touched json, tail json, total bigint,
    is_long boolean
) LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
DECLARE
    most_rows CONSTANT integer := room / 100; -- no task's JSON is shorter
    short CONSTANT integer := 4096;
    projected bigint;
    rows_of text;
    touched_ids bigint[] := '{}';
    bytes bigint := 0;
    rows bigint;
    longest integer;
    sizes integer[];
BEGIN
    SELECT s.head, s.mark, s.projected, s.rows_of INTO head, mark, projected, rows_of
    FROM tasklog.standing(owner, format) s;
    is_long := head > projected + most_rows;
    IF head > projected AND NOT is_long THEN
        SELECT t.ids, t.bytes INTO touched_ids, bytes FROM tasklog.touched(owner, projected) t;
        bytes := bytes + (SELECT coalesce(sum(octet_length(t.body)), 0)
                          FROM tasklog.rows_of_tasks(rows_of, touched_ids) t);
        is_long := bytes > room OR EXISTS (
            SELECT FROM tasklog.events e
            WHERE e.user_id = owner AND e.position > projected AND e.type = 'task.restored');
    ELSIF page_size IS NULL AND after_id IS NULL THEN
        -- Leave long rows out at first, so that no long list is built only to be discarded.
        SELECT f.body, f.rows, f.bytes, f.longest INTO body, rows, bytes, longest
        FROM tasklog.found_array(rows_of, wanted, lines, words, due_after, due_before, sort, most_rows, short) f;
        is_long := rows = most_rows OR bytes > room;
        IF is_long THEN
            body := NULL;
        ELSIF longest > short THEN
            SELECT f.body INTO body
            FROM tasklog.found_array(rows_of, wanted, lines, words, due_after, due_before, sort, most_rows, longest) f;
        END IF;
        RETURN NEXT;
        RETURN;
    END IF;
    IF NOT is_long THEN
        SELECT p.ids, p.keys, p.sizes, p.total INTO ids, keys, sizes, total
        FROM tasklog.places(rows_of, touched_ids, wanted, lines, words, due_after, due_before,
                            sort, after_key, after_id, page_size) p;
        is_long := coalesce(cardinality(ids) >= most_rows
                            OR bytes + (SELECT sum(size) FROM unnest(sizes) AS size) > room, false);
    END IF;
    IF is_long THEN
        ids := NULL;
        keys := NULL;
        total := NULL;
        RETURN NEXT;
        RETURN;
    END IF;
    SELECT array_agg(tasklog.whole_body(t.body) ORDER BY listed.n) INTO bodies
    FROM unnest(ids) WITH ORDINALITY AS listed (id, n) CROSS JOIN LATERAL (
        -- OFFSET 0: always by the index, as a plan for an average user might read all tasks of this one.
        SELECT t.body FROM tasklog.tasks t WHERE t.user_id = rows_of AND t.id = listed.id OFFSET 0) AS t;
    IF head > projected THEN
        SELECT json_agg(e ORDER BY e.position) INTO tail FROM tasklog.tail(owner, projected) e;
        SELECT json_agg(t) INTO touched FROM tasklog.rows_of_tasks(rows_of, touched_ids) t;
    END IF;
    RETURN NEXT;
END $$;

-- The plan of a long list of found tasks, as tasklog.long_list has it.
CREATE OR REPLACE FUNCTION tasklog.find_long(
    owner text, wanted boolean, lines text[], words text[], due_after bigint, due_before bigint,
    sort text, after_key text, after_id bigint, page_size integer, format text
) RETURNS TABLE (
    head bigint, mark text, touched bigint[], total bigint, ids bigint[], versions integer[], sizes integer[], keys json
) LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan AS $$
    SELECT s.head, s.mark, t.ids, p.total, p.ids, p.versions, p.sizes, p.keys
    FROM tasklog.standing(owner, format) s CROSS JOIN LATERAL tasklog.touched(owner, s.projected) t
    CROSS JOIN LATERAL tasklog.places(s.rows_of, t.ids, wanted, lines, words, due_after, due_before,
                                      sort, after_key, after_id, page_size) p
$$;

-- How many tasks a user's rows have, how many of them are completed and how many overdue at `now` (microseconds from
-- 1970), but for the tasks that the tail touches, whose ids are `touched`.
CREATE OR REPLACE FUNCTION tasklog.count_tasks(owner text, now bigint, format text) RETURNS TABLE (
    head bigint, mark text, touched bigint[], total bigint, completed bigint, overdue bigint
) LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT s.head, s.mark, t.ids, counted.* FROM tasklog.standing(owner, format) s
    CROSS JOIN LATERAL tasklog.touched(owner, s.projected) t
    CROSS JOIN LATERAL (
        SELECT count(*), count(*) FILTER (WHERE r.completed),
               count(*) FILTER (WHERE NOT r.completed AND r.overdue_key <= now)
        FROM tasklog.tasks r WHERE r.user_id = s.rows_of AND r.id <> ALL (t.ids)
    ) AS counted (total, completed, overdue)
$$;
