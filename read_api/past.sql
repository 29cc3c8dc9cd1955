-- The read side's functions for the past, from the ledger alone: a user's history and events, and the moments of time
-- travel. As with functions.sql, the reading role has no other access, and they are STABLE.

-- A page of a user's history after position `after`, of one task or one event type if given; see read_api/history.py.
--
-- The search covers at most 10,000 events: `page` holds the first matches, one more than requested, and `looked_at` is
-- the position where the search ended, null at the stream's end. `before` holds the events that give the earlier values
-- of the page's tasks. `known` is false for a task that the user never had. A page (but for its first event) ends
-- before an event with which `page` or `before` would exceed 2 MiB of data: memory takes many times that.
--
-- OFFSET 0: each position is looked up by the index. Without it a plan, kept for a user of average size, may read a long
-- stream from its start, because reading all of a few events costs no more than looking some of them up.
CREATE OR REPLACE FUNCTION tasklog.history(
    owner text, of_task bigint, of_type text, after bigint, page_size integer
) RETURNS TABLE (head bigint, head_hash text, known boolean, looked_at bigint, page json, before json)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    span CONSTANT integer := 10000;
    room CONSTANT bigint := 2 * 1024 * 1024;
    start integer;
    positions bigint[];
    earlier bigint[];
    bytes bigint := 0;
    item record;
BEGIN
    SELECT s.head, encode(s.hash, 'hex') INTO head, head_hash FROM tasklog.streams s WHERE s.user_id = owner;
    IF of_task IS NULL THEN
        known := true;
        looked_at := CASE WHEN after + span < head THEN after + span END;
        SELECT array_agg(p.position) INTO positions FROM (
            SELECT e.position FROM tasklog.events e
            WHERE e.user_id = owner AND e.position > after AND e.position <= after + span
              AND (of_type IS NULL OR e.type = of_type)
            ORDER BY e.position LIMIT page_size + 1) p;
    ELSE
        known := EXISTS (SELECT FROM tasklog.events e WHERE e.user_id = owner AND e.task_id = of_task);
        start := tasklog.version_at(owner, of_task, after);
        SELECT e.position INTO looked_at FROM tasklog.events e
        WHERE e.user_id = owner AND e.task_id = of_task AND e.version = start + span;
        SELECT array_agg(p.position) INTO positions FROM (
            SELECT e.position FROM tasklog.events e
            WHERE e.user_id = owner AND e.task_id = of_task AND e.version > start AND e.version <= start + span
              AND (of_type IS NULL OR e.type = of_type)
            ORDER BY e.version LIMIT page_size + 1) p;
    END IF;
    FOR item IN
        SELECT e.position, octet_length(e.data::text) AS bytes
        FROM unnest(positions) AS at CROSS JOIN LATERAL (
            SELECT e.* FROM tasklog.events e WHERE e.user_id = owner AND e.position = at OFFSET 0) AS e
        ORDER BY e.position
    LOOP
        bytes := bytes + coalesce(item.bytes, 0);
        IF bytes > room AND item.position > positions[1] THEN
            positions := positions[:array_position(positions, item.position) - 1];
            looked_at := item.position - 1;
            EXIT;
        END IF;
    END LOOP;
    bytes := 0;
    FOR item IN
        SELECT f.position, b.position AS earlier, b.bytes
        FROM (SELECT * FROM tasklog.overwritten(owner, positions) ORDER BY position) f
        CROSS JOIN LATERAL tasklog.last_positions(owner, f.task_id, f.version - 1, f.fields) b
    LOOP
        bytes := bytes + coalesce(item.bytes, 0);
        IF bytes > room AND item.position > positions[1] THEN
            positions := positions[:array_position(positions, item.position) - 1];
            looked_at := item.position - 1;
            EXIT;
        END IF;
        earlier := earlier || item.earlier;
    END LOOP;
    SELECT json_agg(json_build_object(
        'position', e.position, 'task_id', e.task_id, 'version', e.version, 'event_id', e.event_id,
        'type', e.type, 'schema_version', e.schema_version,
        'recorded_at', to_char(e.recorded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
        'data', e.data::text, 'metadata', e.metadata::text, 'hash', encode(e.hash, 'hex'),
        'content_digest',
        encode(coalesce(e.erased_digest, tasklog.content_digest(e.metadata::text, e.data::text)), 'hex')
    ) ORDER BY e.position) INTO page
    FROM unnest(positions) AS at CROSS JOIN LATERAL (
        SELECT e.* FROM tasklog.events e WHERE e.user_id = owner AND e.position = at OFFSET 0) AS e;
    SELECT json_agg(b ORDER BY b.version) INTO before FROM (
        SELECT e.task_id, e.version, e.type, e.schema_version, e.data::text
        FROM unnest(earlier) AS at CROSS JOIN LATERAL (
            SELECT e.* FROM tasklog.events e WHERE e.user_id = owner AND e.position = at OFFSET 0) AS e) b;
    RETURN NEXT;
END $$;

-- The tasks for which an event at one of these positions changes or ends an earlier value: the task's first position
-- and version there, and the fields whose earlier value is needed.
CREATE OR REPLACE FUNCTION tasklog.overwritten(owner text, positions bigint[])
RETURNS TABLE (task_id bigint, "position" bigint, version integer, fields text[]) LANGUAGE sql STABLE AS $$
    SELECT o.* FROM (
        SELECT e.task_id, min(e.position) AS position, min(e.version) AS version, array_remove(ARRAY[
                   -- EACH setter
                   CASE WHEN bool_or(e.type IN ('task.deleted', 'task.restored') OR ({setter.shows_before})) THEN '{setter.field}' END,
                   -- END EACH
                   NULL], NULL) AS fields
        FROM unnest(positions) AS at CROSS JOIN LATERAL (
            SELECT e.* FROM tasklog.events e WHERE e.user_id = owner AND e.position = at OFFSET 0) AS e
        WHERE e.task_id IS NOT NULL
        GROUP BY e.task_id
    ) o WHERE o.version > 1 AND o.fields <> '{}'
$$;

-- A page of a user's events after position `after` as they are stored: lines of JSON as in an export, without the user.
-- `last` is the position of the last one, null if there is none. A page (but for its first event) ends before an event
-- with which it would exceed 2 MiB.
CREATE OR REPLACE FUNCTION tasklog.stored_events(owner text, after bigint, page_size integer)
RETURNS TABLE (head bigint, head_hash text, last bigint, page text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    room CONSTANT integer := 2 * 1024 * 1024;
    bytes integer := 0;
    lines text[];
    item record;
BEGIN
    SELECT s.head, encode(s.hash, 'hex') INTO head, head_hash FROM tasklog.streams s WHERE s.user_id = owner;
    FOR item IN
        SELECT e.position, concat(
            '{"position":', e.position, ',"task_id":', coalesce(e.task_id::text, 'null'), ',"version":', e.version,
            ',"event_id":"', e.event_id, '","type":', to_json(e.type), ',"schema_version":', e.schema_version,
            ',"recorded_at":"', to_char(e.recorded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
            '","data":', coalesce(to_json(e.data::text)::text, 'null'),
            ',"metadata":', coalesce(to_json(e.metadata::text)::text, 'null'),
            ',"erased_digest":', coalesce(to_json(encode(e.erased_digest, 'hex'))::text, 'null'),
            ',"hash":"', encode(e.hash, 'hex'), '"}') AS line
        FROM tasklog.events e WHERE e.user_id = owner AND e.position > after ORDER BY e.position LIMIT page_size
    LOOP
        bytes := bytes + octet_length(item.line);
        EXIT WHEN bytes > room AND last IS NOT NULL;
        lines := lines || item.line;
        last := item.position;
    END LOOP;
    page := array_to_string(lines, ',');
    RETURN NEXT;
END $$;

-- The version that a task had at a position of its user's stream, 0 before its first event. Found by bisection, as
-- position and version count the task's events in the same order.
CREATE OR REPLACE FUNCTION tasklog.version_at(owner text, of_task bigint, at_position bigint) RETURNS integer
LANGUAGE plpgsql STABLE AS $$
DECLARE
    low integer := 0;
    high integer;
    middle integer;
BEGIN
    SELECT e.version + 1 INTO high FROM tasklog.events e
    WHERE e.user_id = owner AND e.task_id = of_task ORDER BY e.version DESC LIMIT 1;
    WHILE high - low > 1 LOOP
        middle := (low + high) / 2;
        IF EXISTS (SELECT FROM tasklog.events e WHERE e.user_id = owner AND e.task_id = of_task
                   AND e.version = middle AND e.position <= at_position) THEN
            low := middle;
        ELSE
            high := middle;
        END IF;
    END LOOP;
    RETURN low;
END $$;

-- The moment of a position, or of a time: the last position that was recorded by then. Found by bisection, as time
-- never runs backwards in a stream. Returns also the event's hash prefix, whether the moment is in the future, and the
-- position of the last erasure, or 0.
CREATE OR REPLACE FUNCTION tasklog.moment(owner text, at_position bigint, at timestamptz)
RETURNS TABLE ("position" bigint, mark text, future boolean, erased bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    head bigint;
    high bigint;
    middle bigint;
BEGIN
    SELECT coalesce(max(s.head), 0), coalesce(at > greatest(clock_timestamp(), max(s.recorded_at)), false)
    INTO head, future FROM tasklog.streams s WHERE s.user_id = owner;
    SELECT coalesce(max(e.position), 0) INTO erased FROM tasklog.events e
    WHERE e.user_id = owner AND e.task_id IS NULL AND e.type = 'stream.erased';
    "position" := coalesce(at_position, 0);
    future := future OR "position" > head;
    high := CASE WHEN at IS NULL THEN "position" ELSE head END + 1;
    WHILE high - "position" > 1 LOOP
        middle := ("position" + high) / 2;
        IF EXISTS (SELECT FROM tasklog.events e
                   WHERE e.user_id = owner AND e.position = middle AND e.recorded_at <= at) THEN
            "position" := middle;
        ELSE
            high := middle;
        END IF;
    END LOOP;
    SELECT tasklog.mark(e.hash) INTO mark FROM tasklog.events e WHERE e.user_id = owner AND e.position = high - 1;
    RETURN NEXT;
END $$;
