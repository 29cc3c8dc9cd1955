-- The read side's functions for what changed. As with functions.sql, the reading role has no other access, and they are
-- STABLE.

-- What is different in a user's tasks from what it was at position `since`; see read_api/changes.py. `ids` are the tasks
-- changed since then, at most `at_most`, in the order of their last changes. `versions` are theirs now, null for a
-- deleted one. A task that was created and deleted since then is left out.
--
-- The search covers at most `span` events. `reached` is where it ended: every task whose last change is up to there is
-- in `ids`. So going on from there misses nothing, whatever is written meanwhile.
--
-- `bodies` holds the JSON of the tasks whose rows are up to date. For the others, `touched` holds the rows, if any, and
-- `tail` the events after those. The tasks take at most `room` bytes: a longer first one is in none of these three.
--
-- `since_mark` is the hash prefix of the event at `since`, `erased` the position of the last erasure or 0, and `mark`
-- that of the head, see tasklog.head_mark. If the rows are not in `format` (see read_model/formats.sql), they are not
-- used.
CREATE OR REPLACE FUNCTION tasklog.changes(
    owner text, since bigint, at_most integer, span integer, room integer, format text
) RETURNS TABLE (
    head bigint, mark text, since_mark text, erased bigint, reached bigint, reached_mark text,
    ids bigint[], versions integer[], bodies text[], touched json, tail json
) LANGUAGE plpgsql STABLE SECURITY DEFINER
-- All statements look rows up by an index, whatever the parameters: to plan them takes twice as long as to run them.
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
DECLARE
    most_later CONSTANT integer := 100; -- events after a row: with more, the task counts as long
    rows_of text;
    until bigint;
    positions bigint[];
    found bigint;
    later_of bigint[];
    later_than integer[];
BEGIN
    SELECT s.head, tasklog.head_mark(s.hash, c.mended_at),
           CASE WHEN tasklog.is_in_format(c.row_format, format, c.position, c.mended_at) THEN owner END
    INTO head, mark, rows_of
    FROM tasklog.streams s LEFT JOIN tasklog.checkpoints c USING (user_id) WHERE s.user_id = owner;
    head := coalesce(head, 0);
    SELECT tasklog.mark(e.hash) INTO since_mark FROM tasklog.events e WHERE e.user_id = owner AND e.position = since;
    SELECT coalesce(max(e.position), 0) INTO erased FROM tasklog.events e
    WHERE e.user_id = owner AND e.task_id IS NULL AND e.type = 'stream.erased';
    until := least(head, since + span);

    -- The events are looked up by position, whatever follows: hence MATERIALIZED.
    WITH new AS MATERIALIZED (
        SELECT e.task_id, e.version, e.position, e.type = 'task.deleted' AS is_deleted FROM tasklog.events e
        WHERE e.user_id = owner AND e.position > since AND e.position <= until AND e.task_id IS NOT NULL
    ), changed AS (
        SELECT DISTINCT ON (n.task_id) n.* FROM new n ORDER BY n.task_id, n.version DESC
    ), shown AS (
        SELECT c.* FROM changed c
        WHERE (until = head OR NOT EXISTS (
                  SELECT FROM tasklog.events e
                  WHERE e.user_id = owner AND e.task_id = c.task_id AND e.version > c.version))
          AND (NOT c.is_deleted OR EXISTS (
                  SELECT FROM tasklog.events e
                  WHERE e.user_id = owner AND e.task_id = c.task_id AND e.version = 1 AND e.position <= since))
        ORDER BY c.position LIMIT at_most + 1
    ), sized AS (
        SELECT s.*, t.version AS row_version, t.body, row_number() OVER (ORDER BY s.position) AS n,
               CASE WHEN s.is_deleted THEN 20
                    WHEN t.version = s.version THEN tasklog.body_bytes(t.body)
                    WHEN s.version - coalesce(t.version, 0) > most_later THEN room + 1
                    ELSE coalesce(octet_length(t.body), 0) + (
                        SELECT coalesce(sum(tasklog.most_bytes(e.data) + 150), 0) FROM tasklog.events e
                        WHERE e.user_id = owner AND e.task_id = s.task_id AND e.version > coalesce(t.version, 0))
               END AS bytes
        FROM shown s LEFT JOIN LATERAL (
            SELECT t.version, t.body FROM tasklog.tasks t
            WHERE t.user_id = rows_of AND t.id = s.task_id AND NOT s.is_deleted OFFSET 0
        ) AS t ON true
    ), fitting AS (
        SELECT z.*, sum(z.bytes) OVER (ORDER BY z.n) AS bytes_so_far, count(*) OVER () AS found,
               NOT z.is_deleted AND z.bytes <= room AND z.row_version IS DISTINCT FROM z.version AS is_late
        FROM sized z
    )
    SELECT array_agg(f.task_id ORDER BY f.n), array_agg(f.position ORDER BY f.n),
           array_agg(CASE WHEN NOT f.is_deleted THEN f.version END ORDER BY f.n),
           array_agg(CASE WHEN f.row_version = f.version AND f.bytes <= room THEN tasklog.whole_body(f.body) END
                     ORDER BY f.n),
           array_agg(f.task_id ORDER BY f.n) FILTER (WHERE f.is_late),
           array_agg(coalesce(f.row_version, 0) ORDER BY f.n) FILTER (WHERE f.is_late), max(f.found)
    INTO ids, positions, versions, bodies, later_of, later_than, found
    FROM fitting f WHERE f.n <= at_most AND (f.n = 1 OR f.bytes_so_far <= room);

    reached := CASE WHEN found > cardinality(ids) THEN positions[cardinality(ids)] ELSE greatest(until, since) END;
    SELECT tasklog.mark(e.hash) INTO reached_mark FROM tasklog.events e
    WHERE e.user_id = owner AND e.position = reached;
    IF later_of IS NOT NULL THEN
        SELECT json_agg(t) INTO touched FROM tasklog.rows_of_tasks(rows_of, later_of) t;
        SELECT json_agg(e ORDER BY e.position) INTO tail
        FROM unnest(later_of, later_than) AS late (id, version)
        CROSS JOIN LATERAL (
            SELECT e.task_id, e.position, e.version, e.type, e.schema_version, e.data::text, e.recorded_at
            FROM tasklog.events e
            WHERE e.user_id = owner AND e.task_id = late.id AND e.version > late.version OFFSET 0
        ) AS e;
    END IF;
    RETURN NEXT;
END $$;

-- The users whose head differs from the one that is known. `users` and `heads` have a line for each user; a head is its
-- position, a space, and its mark, see tasklog.head_mark: "0 " before the first event. So a repair of the rows counts.
CREATE OR REPLACE FUNCTION tasklog.moved(users text, heads text) RETURNS TABLE (user_id text, head text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT known.user_id, s.head
    FROM unnest(string_to_array(users, E'\n'), string_to_array(heads, E'\n')) AS known (user_id, head)
    CROSS JOIN LATERAL (
        SELECT coalesce((SELECT s.head || ' ' || tasklog.head_mark(s.hash, (
                             SELECT c.mended_at FROM tasklog.checkpoints c WHERE c.user_id = known.user_id))
                         FROM tasklog.streams s WHERE s.user_id = known.user_id), '0 ') AS head OFFSET 0
    ) AS s
    WHERE s.head <> known.head
$$;
