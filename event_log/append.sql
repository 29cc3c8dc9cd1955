-- The append: many users' commands in few statements, each for all of them.

-- Append the events of many commands of many users in one transaction; see event_log/append.py.
--
-- A command is refused unless its task is at the version that the command was decided on, and the event at that version
-- is the one in `known`: after a fail-over that lost commits, or after a restore, another event can have the same
-- version. Null in `known` skips this check.
--
-- Each element of the arrays is one event. The events of a command stand together; all of them are appended, or none. A
-- command with an idempotency key is carried out once: the same transaction stores the key, with the version that the
-- command led to. A command that led to no event has one element without a type.
--
-- All heads are locked before any check. The checks are a later statement, so they see what others committed while this
-- one waited for a lock. Then the commands are numbered and linked one after another, and written at once.
--
-- Each appended element is returned with its position and hash; an element without a type with those of the head.
CREATE OR REPLACE FUNCTION tasklog.append_commands(
    commands integer[], users text[], tasks bigint[], versions integer[], known uuid[], event_ids uuid[],
    types text[], schema_versions smallint[], data text[], metadata text[], keys text[], fingerprints bytea[],
    wait boolean
) RETURNS TABLE (command integer, outcome text, task_id bigint, "position" bigint, recorded_at timestamptz, hash bytea)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
-- All statements look rows up by an index, whatever the parameters: to plan them for each call would double its cost.
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
DECLARE
    -- For each user, in order: where the row of the head is, if it is there and free; the head, null while another
    -- transaction holds it; when this batch first appended something.
    rows tid[];
    owners text[];
    heads bigint[];
    hashes bytea[];
    times timestamptz[];
    appended timestamptz[];
    n integer := 0; -- the user's place in these
    -- For each element of the parameters; an outcome is only there if it was refused:
    outcomes text[] := array_fill(NULL::text, ARRAY[cardinality(commands)]);
    positions bigint[] := array_fill(NULL::bigint, ARRAY[cardinality(commands)]);
    links bytea[] := array_fill(NULL::bytea, ARRAY[cardinality(commands)]);
    moments timestamptz[] := array_fill(NULL::timestamptz, ARRAY[cardinality(commands)]);

    event record;
    stream tasklog.streams;
    -- The user of the element, and this user's head, which the elements so far have moved or not.
    owner text;
    head bigint;
    digest bytea;
    moment timestamptz;
    moved boolean := false;
    free boolean;
    current_version integer;
    current_event uuid;
    -- Tasks of the user with a refused command; known tasks with new events, the last one first, and their versions.
    refused bigint[];
    changed bigint[];
    changed_to integer[];
    -- Whether commands have keys, whether two have the same one, of any users, and those of the user so far if so.
    has_keys boolean;
    has_twins boolean;
    keys_so_far text[];
    has_expired boolean := false;
    place integer;
BEGIN
    -- Nearly all streams exist and are free. `take_head` looks after the others, one by one.
    SELECT array_agg(s.ctid), array_agg(asked.user_id), array_agg(s.head), array_agg(s.hash), array_agg(s.recorded_at)
    INTO rows, owners, heads, hashes, times
    FROM (SELECT DISTINCT u.user_id COLLATE "C" AS user_id FROM unnest(users) AS u (user_id) ORDER BY 1) AS asked
    LEFT JOIN LATERAL (
        SELECT s.ctid, s.head, s.hash, greatest(clock_timestamp(), s.recorded_at) AS recorded_at
        FROM tasklog.streams s WHERE s.user_id = asked.user_id AND NOT wait FOR UPDATE SKIP LOCKED
    ) AS s ON true;
    appended := array_fill(NULL::timestamptz, ARRAY[cardinality(owners)]);
    place := array_position(rows, NULL);
    WHILE place IS NOT NULL LOOP
        SELECT * INTO stream FROM tasklog.take_head(owners[place], wait);
        heads[place] := stream.head;
        hashes[place] := stream.hash;
        times[place] := stream.recorded_at;
        place := array_position(rows, NULL, place + 1);
    END LOOP;

    SELECT count(k) > 0, count(k) > count(DISTINCT k) INTO has_keys, has_twins FROM unnest(keys) AS k;

    FOR event IN
        SELECT e.*, last.version AS last_version, last.event_id AS last_event, last.is_erased,
               CASE WHEN e.key IS NOT NULL THEN (
                   SELECT k.recorded_at > now() - interval '24 hours' FROM tasklog.idempotency_keys k
                   WHERE k.user_id = e.user_id AND k.key = e.key
               ) END AS is_repeated -- null without a key; false for one that has expired
        FROM unnest(commands, users, tasks, versions, known, event_ids, types, schema_versions, data, metadata, keys,
                    fingerprints)
            WITH ORDINALITY AS e (command, user_id, task_id, version, known, event_id, type, schema_version, data, metadata,
                                  key, fingerprint, n)
        LEFT JOIN LATERAL (
            SELECT l.version, l.event_id, l.erased_digest IS NOT NULL AS is_erased FROM tasklog.events l
            WHERE l.user_id = e.user_id AND l.task_id = e.task_id ORDER BY l.version DESC LIMIT 1
        ) AS last ON true
        ORDER BY e.user_id COLLATE "C", e.n
    LOOP
        IF owner IS DISTINCT FROM event.user_id THEN
            IF moved THEN
                heads[n] := head;
                hashes[n] := digest;
                appended[n] := moment;
            END IF;
            n := n + 1;
            owner := event.user_id;
            head := heads[n];
            digest := hashes[n];
            moment := times[n];
            moved := false;
            free := head IS NOT NULL;
            command := NULL;
            refused := '{}';
            changed := '{}';
            changed_to := '{}';
            keys_so_far := '{}';
        END IF;

        IF command IS DISTINCT FROM event.command THEN
            command := event.command;
            task_id := event.task_id;
            outcome := 'appended';
            IF NOT free THEN
                outcome := CASE WHEN tasklog.elsewhere(owner) IS NULL
                                  OR EXISTS (SELECT FROM tasklog.streams s WHERE s.user_id = owner)
                                THEN 'busy' ELSE 'elsewhere' END;
            ELSIF event.is_repeated OR has_twins AND event.key = ANY (keys_so_far) THEN
                outcome := 'repeated';
                -- Commands decided on the result of this one in this batch were decided on something that did not happen.
                refused := refused || coalesce(task_id, 0);
            ELSIF task_id IS NULL THEN
                task_id := nextval('tasklog.task_ids');
            ELSE
                place := array_position(changed, task_id);
                current_version := CASE WHEN place IS NULL THEN coalesce(event.last_version, 0) ELSE changed_to[place] END;
                current_event := CASE WHEN place IS NULL THEN event.last_event END;
                -- Commands decided on the result of a refused command are refused too, even if their version fits. A
                -- restoration is refused if its task was erased since it was decided on.
                IF current_version <> event.version - 1 OR current_event <> event.known
                   OR event.type = 'task.restored' AND place IS NULL AND event.is_erased
                   OR task_id = ANY (refused) THEN
                    outcome := 'conflict';
                    refused := refused || task_id;
                END IF;
            END IF;
            IF outcome <> 'appended' THEN
                outcomes[event.n] := outcome;
            END IF;
        END IF;
        CONTINUE WHEN outcome <> 'appended';

        IF event.task_id IS NULL THEN
            tasks[event.n] := task_id;
        END IF;
        moments[event.n] := moment;
        IF event.type IS NOT NULL THEN
            head := head + 1;
            digest := tasklog.link(digest, owner, head, task_id, event.version, event.event_id, event.type,
                                   event.schema_version, moment, tasklog.content_digest(event.metadata, event.data));
            moved := true;
            IF event.task_id IS NOT NULL THEN
                changed := task_id || changed;
                changed_to := event.version || changed_to;
            END IF;
        END IF;
        positions[event.n] := head;
        links[event.n] := digest;
        IF has_twins AND event.key IS NOT NULL THEN
            keys_so_far := keys_so_far || event.key;
        END IF;
        IF event.is_repeated IS FALSE THEN
            has_expired := true;
        END IF;
    END LOOP;
    IF moved THEN
        heads[n] := head;
        hashes[n] := digest;
        appended[n] := moment;
    END IF;

    INSERT INTO tasklog.events (user_id, position, task_id, version, event_id, type, schema_version, data, metadata,
                                recorded_at, hash)
    SELECT e.user_id, e.position, e.task_id, e.version, e.event_id, e.type, e.schema_version, e.data::json,
           e.metadata::json, e.recorded_at, e.hash
    FROM unnest(users, positions, tasks, versions, event_ids, types, schema_versions, data, metadata, moments, links)
        AS e (user_id, position, task_id, version, event_id, type, schema_version, data, metadata, recorded_at, hash)
    WHERE e.recorded_at IS NOT NULL AND e.type IS NOT NULL;
    IF has_expired THEN
        DELETE FROM tasklog.idempotency_keys k USING unnest(users, keys, moments) AS e (user_id, key, recorded_at)
        WHERE k.user_id = e.user_id AND k.key = e.key AND e.recorded_at IS NOT NULL;
    END IF;
    IF has_keys THEN
        -- A key stands for all events of its command, and leads to the last one. Nobody else inserts a key of a user whose
        -- head is locked.
        INSERT INTO tasklog.idempotency_keys (user_id, key, fingerprint, task_id, version, recorded_at, position)
        SELECT e.user_id, e.key, e.fingerprint, e.task_id, e.version - (e.type IS NULL)::integer, e.recorded_at, e.position
        FROM unnest(users, keys, fingerprints, tasks, versions, types, moments, positions, commands)
            WITH ORDINALITY AS e (user_id, key, fingerprint, task_id, version, type, recorded_at, position, command, n)
        WHERE e.key IS NOT NULL AND e.recorded_at IS NOT NULL AND commands[e.n + 1] IS DISTINCT FROM e.command;
    END IF;
    -- A locked row stays where it is, so it is found by its place.
    UPDATE tasklog.streams s
    SET head = moved.head, hash = moved.hash, recorded_at = moved.appended,
        unprojected_since = coalesce(s.unprojected_since, moved.appended)
    FROM unnest(rows, heads, hashes, appended) AS moved (row, head, hash, appended)
    WHERE s.ctid = moved.row AND moved.appended IS NOT NULL;
    IF array_position(rows, NULL) IS NOT NULL THEN
        PERFORM tasklog.move_head(ROW(moved.user_id, moved.head, moved.hash, moved.appended, moved.appended))
        FROM unnest(rows, owners, heads, hashes, appended) AS moved (row, user_id, head, hash, appended)
        WHERE moved.row IS NULL AND moved.appended IS NOT NULL;
    END IF;
    RETURN QUERY
    SELECT e.command, coalesce(e.outcome, 'appended'), e.task_id, e."position", e.at, e.hash
    FROM unnest(commands, outcomes, tasks, positions, moments, links)
        AS e (command, outcome, task_id, "position", at, hash)
    WHERE e.outcome IS NOT NULL OR e.at IS NOT NULL;
END $$;
