-- The read side's functions for the present; those for what was are in past.sql. They are the only way in for the
-- reading role. Each is STABLE, so all its queries see the one snapshot of the statement that calls it: checkpoint,
-- tail and rows fit together.

-- A user's list of tasks; see read_api/queries.py. Those whose `completed` is `wanted`, all where that is null. A page
-- begins behind a place: for sort 'title' behind the title key `after_key` and the task's id `after_id`, for 'created'
-- behind the position `after_id`.
--
-- Without a tail and without a page, `body` is the whole answer. Else there are the parts that are to be merged:
-- `page` [[sort key, id, body]] of tasks that the tail does not touch, one more than asked for; `touched`, the rows
-- that it does; `tail`, the events that are not projected yet; `total`, the number of untouched tasks. `mark` is of the
-- event at the head, see tasklog.head_mark.
CREATE OR REPLACE FUNCTION tasklog.list_tasks(
    owner text, wanted boolean, sort text, after_key text, after_id bigint, page_size integer
) RETURNS TABLE (head bigint, mark text, body text, page json, touched json, tail json, total bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    projected bigint;
    touched_ids bigint[] := '{}';
BEGIN
    SELECT s.head, tasklog.head_mark(s.hash, c.mended_at), coalesce(c.position, 0) INTO head, mark, projected
    FROM tasklog.streams s LEFT JOIN tasklog.checkpoints c USING (user_id) WHERE s.user_id = owner;
    head := coalesce(head, 0);
    IF head > projected THEN
        SELECT json_agg(e ORDER BY e.position),
               coalesce(array_agg(DISTINCT e.task_id) FILTER (WHERE e.task_id IS NOT NULL), '{}')
        INTO tail, touched_ids FROM tasklog.tail(owner, projected) e;
        SELECT json_agg(t) INTO touched FROM tasklog.tasks t
        WHERE t.user_id = owner AND t.id = ANY (touched_ids);
    ELSIF page_size IS NULL AND after_id IS NULL THEN
        IF sort = 'title' THEN
            SELECT '[' || coalesce(string_agg(t.body, ',' ORDER BY t.title_key, t.id), '') || ']' INTO body
            FROM tasklog.tasks t WHERE t.user_id = owner AND (wanted IS NULL OR t.completed = wanted);
        ELSE
            SELECT '[' || coalesce(string_agg(t.body, ',' ORDER BY t.created_position DESC), '') || ']' INTO body
            FROM tasklog.tasks t WHERE t.user_id = owner AND (wanted IS NULL OR t.completed = wanted);
        END IF;
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

-- The beginning of an event's hash. Positions are given again after a restore from an older backup; with its mark, one
-- says which history it is of.
CREATE OR REPLACE FUNCTION tasklog.mark(hash bytea) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT encode(substring($1 FOR 6), 'hex')
$$;

-- The mark of a stream's last event, and of the time when the user's rows were last found wrong and mended.
CREATE OR REPLACE FUNCTION tasklog.head_mark(hash bytea, mended_at timestamptz) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT tasklog.mark($1) || coalesce('.' || to_hex((extract(epoch FROM $2) * 1000000)::bigint), '')
$$;

-- The positions of some users' last events, with their marks.
CREATE OR REPLACE FUNCTION tasklog.heads(users text[]) RETURNS TABLE (user_id text, head bigint, mark text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT s.user_id, s.head, tasklog.head_mark(s.hash, c.mended_at)
    FROM tasklog.streams s LEFT JOIN tasklog.checkpoints c USING (user_id) WHERE s.user_id = ANY (users)
$$;

-- One task of a user: `version` and `body` when no later event of it is waiting; else its row in
-- `touched`, if it has one, and its unprojected events in `tail`; see read_api/queries.py.
CREATE OR REPLACE FUNCTION tasklog.get_task(owner text, wanted_id bigint)
RETURNS TABLE (version integer, body text, touched json, tail json)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    task tasklog.tasks;
    projected bigint;
BEGIN
    SELECT t.* INTO task FROM tasklog.tasks t WHERE t.user_id = owner AND t.id = wanted_id;
    IF FOUND AND NOT EXISTS (
        SELECT FROM tasklog.events e WHERE e.user_id = owner AND e.task_id = wanted_id AND e.version > task.version
    ) THEN
        version := task.version;
        body := task.body;
        RETURN NEXT;
        RETURN;
    END IF;
    SELECT coalesce(max(c.position), 0) INTO projected FROM tasklog.checkpoints c WHERE c.user_id = owner;
    SELECT json_agg(e ORDER BY e.position) INTO tail FROM tasklog.tail(owner, projected) e WHERE e.task_id = wanted_id;
    IF task.id IS NOT NULL THEN
        touched := json_build_array(row_to_json(task));
    END IF;
    RETURN NEXT;
END $$;
