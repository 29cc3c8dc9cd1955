-- The ledger's functions: services that answer requests use the ledger only through them. `./run migrate` replaces
-- those that differ. They run with the owner's rights, so no service role needs any right to a table.

-- One link of a stream's hash chain: sha256 over ten lines of text. docs/audit.md checks one by hand.
CREATE OR REPLACE FUNCTION tasklog.link(
    previous bytea, user_id text, "position" bigint, task_id bigint, version integer, event_id uuid,
    type text, schema_version smallint, recorded_at timestamptz, content bytea
) RETURNS bytea LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT sha256(convert_to(
        encode($1, 'hex') || E'\n' || $2 || E'\n' || $3 || E'\n' || coalesce($4::text, '') || E'\n' || $5 || E'\n'
        || $6 || E'\n' || $7 || E'\n' || $8 || E'\n'
        || to_char($9 AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') || E'\n' || encode($10, 'hex'),
        'UTF8'))
$$;

-- The digest that represents an event's metadata and data in its link. The metadata hold a random nonce, so nobody can
-- guess an erased text from its digest.
CREATE OR REPLACE FUNCTION tasklog.content_digest(metadata text, data text)
RETURNS bytea LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT sha256(convert_to($1 || E'\n' || $2, 'UTF8'))
$$;

-- An upper bound of the size of an event's data, in bytes. Uncompressed data store their size. Short compressed data
-- are decompressed. For long compressed data the bound is the best possible compression ratio, or the limit of a
-- request's body.
CREATE OR REPLACE FUNCTION tasklog.most_bytes(data json) RETURNS integer LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN pg_column_compression($1) IS NULL THEN pg_column_size($1)
                WHEN pg_column_size($1) < 2000 THEN octet_length($1::text)
                ELSE least(255 * pg_column_size($1), 1200000) END
$$;

-- What is stored about commands, by their users' idempotency keys; see command_api/idempotency.py. `position` and `hash`
-- are of the head after the command, or of the command's last event where the key is from before there was a position.
CREATE OR REPLACE FUNCTION tasklog.carried_out(users text[], keys text[])
RETURNS TABLE (user_id text, key text, fingerprint bytea, task_id bigint, version integer, "position" bigint, hash bytea)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT k.user_id, k.key, k.fingerprint, k.task_id, k.version, e.position, e.hash
    FROM unnest(users, keys) AS asked (user_id, key) JOIN tasklog.idempotency_keys k USING (user_id, key)
    JOIN tasklog.streams s USING (user_id) -- not of a user who has left
    LEFT JOIN LATERAL (
        SELECT e.position, e.hash FROM tasklog.events e
        WHERE e.user_id = k.user_id AND e.position = coalesce(k.position, (
            SELECT v.position FROM tasklog.events v
            WHERE v.user_id = k.user_id AND v.task_id = k.task_id AND v.version = k.version))
    ) AS e ON true
    WHERE k.recorded_at > now() - interval '24 hours'
$$;

-- Ids for tasks that a user's commands with these idempotency keys create: new ones, or that of the task which the same
-- command has already created.
CREATE OR REPLACE FUNCTION tasklog.ids_of_new_tasks(owner text, keys text[], fingerprints bytea[])
RETURNS TABLE (task_id bigint)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(k.task_id, nextval('tasklog.task_ids'))
    FROM unnest(keys, fingerprints) WITH ORDINALITY AS asked (key, fingerprint, n)
    LEFT JOIN LATERAL (
        -- OFFSET 0: always by the index, as a plan for an average user might read all keys of this one.
        SELECT k.task_id FROM tasklog.idempotency_keys k
        WHERE k.user_id = owner AND k.key = asked.key AND k.fingerprint = asked.fingerprint
          AND k.recorded_at > now() - interval '24 hours' OFFSET 0
    ) AS k ON true
    ORDER BY asked.n
$$;

-- The tasks and versions of idempotency keys whose event is not in the ledger; of one user, or of all for null.
CREATE OR REPLACE FUNCTION tasklog.keys_without_event(owner text)
RETURNS TABLE (user_id text, task_id bigint, version integer)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT DISTINCT ON (k.user_id) k.user_id, k.task_id, k.version FROM tasklog.idempotency_keys k
    WHERE (owner IS NULL OR k.user_id = owner) AND NOT EXISTS (
        SELECT FROM tasklog.events e
        WHERE e.user_id = k.user_id AND e.task_id = k.task_id AND e.version = k.version)
    ORDER BY k.user_id, k.task_id LIMIT 1000
$$;

-- Lock a user's head and return it with the time of the next event, which never runs backwards. Returns no row if
-- another transaction has the lock and `wait` is false, and for a user who is elsewhere (see moves.sql). The lock of a
-- stream that does not exist yet is on its name.
CREATE OR REPLACE FUNCTION tasklog.take_head(owner text, wait boolean) RETURNS SETOF tasklog.streams
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    stream tasklog.streams;
BEGIN
    -- After locking the name, a separate statement looks again: another transaction may have created the stream.
    IF wait THEN
        SELECT * INTO stream FROM tasklog.streams s WHERE s.user_id = owner FOR UPDATE;
        IF NOT FOUND THEN
            PERFORM pg_advisory_xact_lock(hashtextextended(owner, 0));
            SELECT * INTO stream FROM tasklog.streams s WHERE s.user_id = owner FOR UPDATE;
        END IF;
    ELSE
        SELECT * INTO stream FROM tasklog.streams s WHERE s.user_id = owner FOR UPDATE SKIP LOCKED;
        IF NOT FOUND THEN
            IF NOT pg_try_advisory_xact_lock(hashtextextended(owner, 0)) THEN
                RETURN;
            END IF;
            IF EXISTS (SELECT FROM tasklog.streams s WHERE s.user_id = owner) THEN
                RETURN;
            END IF;
        END IF;
    END IF;
    IF stream.user_id IS NULL THEN
        IF tasklog.elsewhere(owner) IS NOT NULL THEN
            RETURN;
        END IF;
        stream.user_id := owner;
        stream.head := 0;
        stream.hash := decode(repeat('00', 32), 'hex');
    END IF;
    stream.recorded_at := greatest(clock_timestamp(), stream.recorded_at);
    stream.unprojected_since := NULL;
    RETURN NEXT stream;
END $$;

-- Append one event behind a locked head, and return the new head.
CREATE OR REPLACE FUNCTION tasklog.append_one(
    stream tasklog.streams, task_id bigint, version integer, event_id uuid,
    type text, schema_version smallint, data text, metadata text
) RETURNS tasklog.streams LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    stream.head := stream.head + 1;
    stream.unprojected_since := stream.recorded_at;
    stream.hash := tasklog.link(stream.hash, stream.user_id, stream.head, task_id, version, event_id, type,
                                schema_version, stream.recorded_at, tasklog.content_digest(metadata, data));
    INSERT INTO tasklog.events (user_id, position, task_id, version, event_id, type, schema_version,
                                data, metadata, recorded_at, hash)
    VALUES (stream.user_id, stream.head, task_id, version, event_id, type, schema_version,
            data::json, metadata::json, stream.recorded_at, stream.hash);
    RETURN stream;
END $$;

-- Write a locked head back after appending events.
CREATE OR REPLACE FUNCTION tasklog.move_head(stream tasklog.streams) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    UPDATE tasklog.streams s SET head = stream.head, hash = stream.hash, recorded_at = stream.recorded_at,
        unprojected_since = coalesce(s.unprojected_since, stream.unprojected_since)
    WHERE s.user_id = stream.user_id;
    IF NOT FOUND THEN
        INSERT INTO tasklog.streams SELECT stream.*;
    END IF;
END $$;

-- A user's events after a position, in order; reads fold them over the rows.
CREATE OR REPLACE FUNCTION tasklog.tail(owner text, after bigint)
RETURNS TABLE (task_id bigint, "position" bigint, version integer, type text, schema_version smallint,
               data text, recorded_at timestamptz)
LANGUAGE sql STABLE ROWS 10 AS $$
    SELECT e.task_id, e.position, e.version, e.type, e.schema_version, e.data::text, e.recorded_at
    FROM tasklog.events e WHERE e.user_id = owner AND e.position > after ORDER BY e.position
$$;

-- Move the sequence of task ids forward to the highest id in use, and return that id; null if the sequence is not
-- behind. Restoring data alone, or logical replication, leaves the sequence behind, and ids would be assigned twice.
-- Ids out of the sequence's bounds came with users from other ledgers. The function reads all events before it locks the
-- sequence (a few seconds for some millions), and locks it only if it is behind.
CREATE OR REPLACE FUNCTION tasklog.mend_task_ids() RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = on AS $$
DECLARE
    highest bigint;
BEGIN
    SELECT max(e.task_id) INTO highest FROM tasklog.events e
    WHERE e.task_id BETWEEN (SELECT s.seqmin FROM pg_sequence s WHERE s.seqrelid = 'tasklog.task_ids'::regclass)
                        AND (SELECT s.seqmax FROM pg_sequence s WHERE s.seqrelid = 'tasklog.task_ids'::regclass);
    IF highest <= (SELECT last_value - (NOT is_called)::integer FROM tasklog.task_ids) OR highest IS NULL THEN
        RETURN NULL;
    END IF;
    -- Until this transaction ends, no id can be assigned, so none can be between this look and the move.
    ALTER SEQUENCE tasklog.task_ids OWNED BY NONE;
    RETURN setval('tasklog.task_ids', greatest(highest, (SELECT last_value FROM tasklog.task_ids)));
END $$;
