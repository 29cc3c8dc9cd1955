-- Erase a person's text (GDPR, article 17). This is the only operation that changes events, and the only right of its
-- role. It deletes every task with an event of its own, and appends `stream.erased`, which records up to which position
-- text was erased. In all earlier events the digest that the hash chain already uses replaces data and metadata.
-- Earlier `stream.erased` events keep their data, as they hold no text of a person. The projection is updated in the
-- same transaction. Returns the position of `stream.erased`; null for a user without a stream here.
CREATE OR REPLACE FUNCTION tasklog.erase(owner text, actor text, request_id text) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    stream tasklog.streams;
    through bigint;
    task record;
BEGIN
    SELECT * INTO stream FROM tasklog.take_head(owner, true);
    through := stream.head;
    IF coalesce(through, 0) = 0 THEN
        RETURN NULL;
    END IF;
    FOR task IN
        SELECT DISTINCT ON (e.task_id) e.task_id AS id, e.version, e.type FROM tasklog.events e
        WHERE e.user_id = owner AND e.task_id IS NOT NULL ORDER BY e.task_id, e.version DESC
    LOOP
        CONTINUE WHEN task.type = 'task.deleted';
        stream := tasklog.append_one(stream, task.id, task.version + 1, gen_random_uuid(), 'task.deleted', 1::smallint,
                                     '{}', tasklog.operator_metadata(actor, request_id));
    END LOOP;
    stream := tasklog.append_one(
        stream, NULL,
        (SELECT count(*)::integer + 1 FROM tasklog.events e
         WHERE e.user_id = owner AND e.task_id IS NULL AND e.position <= through),
        gen_random_uuid(), 'stream.erased', 1::smallint, format('{"through":%s}', through),
        tasklog.operator_metadata(actor, request_id));

    UPDATE tasklog.events e
    SET erased_digest = tasklog.content_digest(e.metadata::text, e.data::text), data = NULL, metadata = NULL
    WHERE e.user_id = owner AND e.position <= through AND e.erased_digest IS NULL AND e.type <> 'stream.erased';

    -- Lock the checkpoint first, to wait for a projector that is working on this user.
    INSERT INTO tasklog.checkpoints AS c (user_id, position, task_count, completed_count)
    VALUES (owner, stream.head, 0, 0)
    ON CONFLICT (user_id) DO UPDATE
    SET position = excluded.position, attempts = 0, parked_until = NULL, error = NULL,
        fault_position = NULL, fault_reason = NULL, task_count = 0, completed_count = 0,
        row_format = tasklog.format_at(tasklog.row_format(), excluded.position, c.mended_at);
    DELETE FROM tasklog.tasks t WHERE t.user_id = owner;
    DELETE FROM tasklog.idempotency_keys k WHERE k.user_id = owner;
    UPDATE tasklog.streams s
    SET head = stream.head, hash = stream.hash, recorded_at = stream.recorded_at, unprojected_since = NULL
    WHERE s.user_id = owner;
    RETURN stream.head;
END $$;

-- The metadata of an operator's event, in the form that event_log/append.py writes for a user's event.
CREATE OR REPLACE FUNCTION tasklog.operator_metadata(actor text, request_id text) RETURNS text
LANGUAGE sql VOLATILE AS $$
    SELECT format('{"actor":%s,"nonce":"%s","request_id":%s}', to_json($1),
                  encode(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()), 'hex'), to_json($2))
$$;
