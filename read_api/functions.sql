-- What the read side's functions share; those for lists are in lists.sql, for single tasks and long texts in long.sql,
-- for the past in past.sql. The reading role has no other access. Each is STABLE, so all its queries see the same
-- snapshot, that of the calling statement: checkpoint, tail and rows fit together.

-- The hash prefix of an event. After a restore from an older backup, positions are used again; a position with its hash
-- prefix still identifies one history.
CREATE OR REPLACE FUNCTION tasklog.mark(hash bytea) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT encode(substring($1 FOR 6), 'hex')
$$;

-- The hash prefix of a stream's last event, with the time when the user's rows were last corrected.
CREATE OR REPLACE FUNCTION tasklog.head_mark(hash bytea, mended_at timestamptz) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT tasklog.mark($1) || coalesce('.' || to_hex((extract(epoch FROM $2) * 1000000)::bigint), '')
$$;

-- The head positions of some users, with their hash prefixes. To plan the look-up takes three times as long as to do it:
-- hence plpgsql, which keeps its plan.
CREATE OR REPLACE FUNCTION tasklog.heads(users text[]) RETURNS TABLE (user_id text, head bigint, mark text)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY SELECT s.user_id, s.head, tasklog.head_mark(s.hash, c.mended_at)
    FROM tasklog.streams s LEFT JOIN tasklog.checkpoints c USING (user_id) WHERE s.user_id = ANY (users);
END $$;

-- For a standby: whether these users' heads are at the positions that the primary has, or later; and, as a JSON array
-- [[user, head, mark]], those that are not exactly these, null if all are. See read_api/standby_rows.py.
CREATE OR REPLACE FUNCTION tasklog.compared_heads(users text[], heads bigint[], marks text[])
RETURNS TABLE (is_there boolean, others text) LANGUAGE plpgsql STABLE ROWS 1
SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY SELECT bool_and(coalesce(h.head, 0) >= w.head),
           (json_agg(json_build_array(w.user_id, h.head, h.mark))
            FILTER (WHERE coalesce(h.head, 0) <> w.head OR coalesce(h.mark, '') <> w.mark))::text
    FROM unnest(users, heads, marks) AS w (user_id, head, mark) LEFT JOIN tasklog.heads(users) AS h USING (user_id);
END $$;

-- The rows of some of a user's tasks. Each is found by its key. With `id = ANY (ids)`, a plan for average users reads an
-- index that begins with the user, and all entries of a user with many tasks.
CREATE OR REPLACE FUNCTION tasklog.rows_of_tasks(owner text, ids bigint[]) RETURNS SETOF tasklog.tasks
LANGUAGE sql STABLE AS $$
    SELECT t.* FROM unnest($2) AS wanted (id)
    CROSS JOIN LATERAL (SELECT * FROM tasklog.tasks t WHERE t.user_id = $1 AND t.id = wanted.id OFFSET 0) AS t
$$;
