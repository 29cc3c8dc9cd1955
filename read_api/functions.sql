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

-- The head positions of some users, with their hash prefixes.
CREATE OR REPLACE FUNCTION tasklog.heads(users text[]) RETURNS TABLE (user_id text, head bigint, mark text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT s.user_id, s.head, tasklog.head_mark(s.hash, c.mended_at)
    FROM tasklog.streams s LEFT JOIN tasklog.checkpoints c USING (user_id) WHERE s.user_id = ANY (users)
$$;
