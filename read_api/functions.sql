-- The read side's functions for the present; lists are in lists.sql, the past in past.sql. The reading role has no
-- other access. Each is STABLE, so all its queries see the same snapshot, that of the calling statement: checkpoint,
-- tail and rows fit together.

-- The hash prefix of an event. After a restore from an older backup, positions are used again; a position with its hash
-- prefix still identifies one history.
CREATE OR REPLACE FUNCTION tasklog.mark(hash bytea) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT encode(substring($1 FOR 6), 'hex')
$$;

-- The hash prefix of a stream's last event, with the time when the user's rows were last corrected.
CREATE OR REPLACE FUNCTION tasklog.head_mark(hash bytea, mended_at timestamptz) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT tasklog.mark($1) || coalesce('.' || to_hex((extract(epoch FROM $2) * 1000000)::bigint), '')
$$;

-- The head positions of some users, with their hash prefixes.
CREATE OR REPLACE FUNCTION tasklog.heads(users text[]) RETURNS TABLE (user_id text, head bigint, mark text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT s.user_id, s.head, tasklog.head_mark(s.hash, c.mended_at)
    FROM tasklog.streams s LEFT JOIN tasklog.checkpoints c USING (user_id) WHERE s.user_id = ANY (users)
$$;

-- One task of a user: `version` and `body` if it has no unprojected event; otherwise its row in `touched`, if any, and
-- its unprojected events in `tail`; see read_api/queries.py.
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
