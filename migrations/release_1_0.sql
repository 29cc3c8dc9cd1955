-- What services of release 1.0 call and this version does not, so that both can run on one database.
--
-- 1.0 knows neither the fields nor the types and schema versions that came later: events and bodies are returned without
-- them.
-- Only a history shows events as they are stored; 1.0 shows one that it cannot read without its changes. All of this is
-- to be dropped a release later.

-- The schema version under which 1.0 can read an event: the newest of its type that 1.0 knows.
CREATE OR REPLACE FUNCTION tasklog.schema_version_for_1_0(type text, schema_version smallint) RETURNS smallint
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE $1 WHEN 'task.created' THEN least($2, 2) WHEN 'task.adopted' THEN 2 ELSE 1 END::smallint
$$;

-- An event's data under that schema version. Members are picked without being read: an operator of jsonb would fail on
-- text that Postgres cannot hold.
CREATE OR REPLACE FUNCTION tasklog.data_for_1_0(type text, schema_version smallint, data json) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN $3 IS NULL OR $2 = tasklog.schema_version_for_1_0($1, $2) THEN $3::text
                ELSE (SELECT coalesce(json_object_agg(member.key, member.value), '{}')::text
                      FROM json_each($3) AS member WHERE member.key IN ('title', 'description')) END
$$;

-- The type under which 1.0 can read an event, up to a position. It knows no restorations: one, and the deletion before
-- it, are edits that change nothing. An adoption is shown as a creation, without its times and completion.
CREATE OR REPLACE FUNCTION tasklog.type_for_1_0(
    owner text, of_task bigint, version integer, type text, until bigint
) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN $4 = 'task.restored' THEN 'task.edited'
                WHEN $4 = 'task.adopted' THEN 'task.created'
                WHEN $4 = 'task.deleted' AND EXISTS (
                    SELECT FROM tasklog.events e WHERE e.user_id = $1 AND e.task_id = $2 AND e.version = $3 + 1
                    AND e.position <= coalesce($5, 9223372036854775807)) THEN 'task.edited'
                ELSE $4 END
$$;

-- The events of a user's tail under those types and schema versions. A tail that begins with the restoration of a task,
-- which has no row, gets all of the task's events.
CREATE OR REPLACE FUNCTION tasklog.tail_for_1_0(owner text, tail json) RETURNS json LANGUAGE sql STABLE AS $$
    WITH tail AS (
        SELECT * FROM json_to_recordset($2) AS e (task_id bigint, "position" bigint, version integer, type text,
                                                  schema_version smallint, data text, recorded_at timestamptz)
    ), before AS (
        SELECT e.task_id, e.position, e.version, e.type, e.schema_version, e.data::text, e.recorded_at
        FROM (SELECT DISTINCT ON (t.task_id) t.* FROM tail t ORDER BY t.task_id, t.version) AS first
        JOIN tasklog.events e ON e.user_id = $1 AND e.task_id = first.task_id AND e.version < first.version
        WHERE first.type = 'task.restored'
    )
    SELECT json_agg(readable ORDER BY readable.position) FROM (
        SELECT e.task_id, e.position, e.version, tasklog.type_for_1_0($1, e.task_id, e.version, e.type, NULL) AS type,
               tasklog.schema_version_for_1_0(e.type, e.schema_version) AS schema_version,
               tasklog.data_for_1_0(e.type, e.schema_version, e.data::json) AS data, e.recorded_at
        FROM (TABLE before UNION ALL TABLE tail) AS e) AS readable
$$;

-- The JSON of a task, or of a list of tasks, with the members that 1.0 writes. The later ones stand together from
-- `priority` to `status`. Within a string, a quote follows a backslash, so only members can match.
CREATE OR REPLACE FUNCTION tasklog.body_for_1_0(body text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT regexp_replace($1, ',"priority":.*?"status":"(completed|pending)"', '', 'g')
$$;

-- A user's list, as tasklog.short_list returns it without a limit. 1.0 knows two sorts: for 'created' a page begins
-- after the position `after_id`.
CREATE OR REPLACE FUNCTION tasklog.list_tasks(
    owner text, wanted boolean, sort text, after_key text, after_id bigint, page_size integer
) RETURNS TABLE (head bigint, mark text, body text, page json, touched json, tail json, total bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN QUERY SELECT l.head, l.mark, tasklog.body_for_1_0(l.body),
        (SELECT json_agg(json_build_array(p.value->0, p.value->1, tasklog.body_for_1_0(p.value->>2)) ORDER BY p.n)
         FROM json_array_elements(l.page) WITH ORDINALITY AS p (value, n)),
        l.touched, tasklog.tail_for_1_0(owner, l.tail), l.total
    FROM tasklog.short_list(owner, wanted, sort, CASE sort WHEN 'title' THEN after_key ELSE after_id::text END,
                            after_id, page_size, NULL, NULL) l;
END $$;

-- One task of a user: `version` and `body` if it has no unprojected event; otherwise its row in `touched`, if any, and
-- its unprojected events in `tail`.
CREATE OR REPLACE FUNCTION tasklog.get_task(owner text, wanted_id bigint)
RETURNS TABLE (version integer, body text, touched json, tail json)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    task tasklog.tasks;
    projected bigint;
BEGIN
    IF NOT EXISTS (SELECT FROM tasklog.streams s WHERE s.user_id = owner) THEN
        RETURN; -- a user who has left
    END IF;
    SELECT t.* INTO task FROM tasklog.tasks t WHERE t.user_id = owner AND t.id = wanted_id;
    IF FOUND AND NOT EXISTS (
        SELECT FROM tasklog.events e WHERE e.user_id = owner AND e.task_id = wanted_id AND e.version > task.version
    ) THEN
        version := task.version;
        body := tasklog.body_for_1_0(tasklog.whole_body(task.body));
        RETURN NEXT;
        RETURN;
    END IF;
    SELECT coalesce(max(c.position), 0) INTO projected FROM tasklog.checkpoints c WHERE c.user_id = owner;
    SELECT tasklog.tail_for_1_0(owner, json_agg(e)) INTO tail
    FROM tasklog.tail(owner, projected) e WHERE e.task_id = wanted_id;
    IF task.id IS NOT NULL THEN
        touched := json_build_array(row_to_json(task));
    END IF;
    RETURN NEXT;
END $$;

-- The events of a user, or of one task, after one position and up to another, in order.
CREATE OR REPLACE FUNCTION tasklog.events_between(
    owner text, of_task bigint, after bigint, until bigint, at_most integer
) RETURNS TABLE (task_id bigint, "position" bigint, version integer, type text, schema_version smallint,
                 data text, recorded_at timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    first integer;
    last integer;
BEGIN
    IF of_task IS NULL THEN
        RETURN QUERY
        SELECT e.task_id, e.position, e.version,
               tasklog.type_for_1_0(owner, e.task_id, e.version, e.type, until),
               tasklog.schema_version_for_1_0(e.type, e.schema_version),
               tasklog.data_for_1_0(e.type, e.schema_version, e.data), e.recorded_at
        FROM tasklog.events e WHERE e.user_id = owner AND e.position > after AND e.position <= until
        ORDER BY e.position LIMIT at_most;
    ELSE
        first := tasklog.version_at(owner, of_task, after);
        last := tasklog.version_at(owner, of_task, until);
        RETURN QUERY
        SELECT e.task_id, e.position, e.version,
               tasklog.type_for_1_0(owner, e.task_id, e.version, e.type, until),
               tasklog.schema_version_for_1_0(e.type, e.schema_version),
               tasklog.data_for_1_0(e.type, e.schema_version, e.data), e.recorded_at
        FROM tasklog.events e
        WHERE e.user_id = owner AND e.task_id = of_task AND e.version > first AND e.version <= last
        ORDER BY e.version LIMIT at_most;
    END IF;
END $$;

-- The events of some tasks after a given version of each, in order.
CREATE OR REPLACE FUNCTION tasklog.task_events(users text[], tasks bigint[], versions integer[])
RETURNS TABLE (user_id text, task_id bigint, "position" bigint, version integer, type text,
               schema_version smallint, data text, recorded_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT e.user_id, e.task_id, e.position, e.version,
           tasklog.type_for_1_0(e.user_id, e.task_id, e.version, e.type, NULL),
           tasklog.schema_version_for_1_0(e.type, e.schema_version),
           tasklog.data_for_1_0(e.type, e.schema_version, e.data), e.recorded_at
    FROM unnest(users, tasks, versions) WITH ORDINALITY AS known (user_id, task_id, version, n)
    CROSS JOIN LATERAL (
        SELECT * FROM tasklog.events e
        WHERE e.user_id = known.user_id AND e.task_id = known.task_id AND e.version > known.version
        ORDER BY e.version
    ) AS e
    ORDER BY known.n, e.version
$$;

-- What is stored about commands, without position and hash.
CREATE OR REPLACE FUNCTION tasklog.remembered(users text[], keys text[])
RETURNS TABLE (user_id text, key text, fingerprint bytea, task_id bigint, version integer)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT k.user_id, k.key, k.fingerprint, k.task_id, k.version
    FROM unnest(users, keys) AS asked (user_id, key) JOIN tasklog.idempotency_keys k USING (user_id, key)
    JOIN tasklog.streams s USING (user_id)
    WHERE k.recorded_at > now() - interval '24 hours'
$$;

-- The append without `known`, hashes, and positions without an event. The stream of a user who is elsewhere is busy.
CREATE OR REPLACE FUNCTION tasklog.append(
    commands integer[], users text[], tasks bigint[], versions integer[], event_ids uuid[],
    types text[], schema_versions smallint[], data text[], metadata text[], keys text[], fingerprints bytea[],
    wait boolean
) RETURNS TABLE (command integer, outcome text, task_id bigint, "position" bigint, recorded_at timestamptz)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN QUERY
    SELECT a.command, CASE a.outcome WHEN 'elsewhere' THEN 'busy' ELSE a.outcome END, a.task_id, CASE WHEN a.recorded_at IS NOT NULL THEN a.position END, a.recorded_at
    FROM tasklog.append_commands(
        commands, users, tasks, versions, array_fill(NULL::uuid, ARRAY[cardinality(commands)]), event_ids,
        types, schema_versions, data, metadata, keys, fingerprints, wait) AS a;
END $$;
