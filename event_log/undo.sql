-- What undo has to know of a user's events; see event_log/changes.py. migrations/templates.py repeats the part that
-- depends on a field.

-- The position that a command took back, from an event's metadata. They are canonical JSON with `undoes` last; within a
-- string, a backslash would stand before its quotes.
CREATE OR REPLACE FUNCTION tasklog.undoes(metadata json) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    -- Few events have it, and LIKE is much faster than a regular expression.
    SELECT CASE WHEN $1::text LIKE '%"undoes":%' THEN substring($1::text FROM '"undoes":([0-9]+)\}$')::bigint END
$$;

-- What an event undoes, as in domain/undo.py: 0, which is no position, for an adoption. So an adoption is never the
-- newest change that can be undone.
CREATE OR REPLACE FUNCTION tasklog.undoes_or_adopts(type text, metadata json) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN $1 = 'task.adopted' THEN 0 ELSE tasklog.undoes($2) END
$$;

-- Whether an event belongs to the same command as the one before it.
CREATE OR REPLACE FUNCTION tasklog.continues(metadata json) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT coalesce($1::text LIKE '%"continues":true,%', false)
$$;

-- The position of a user's last erasure, 0 without one. What was done before it cannot come back.
CREATE OR REPLACE FUNCTION tasklog.erased(owner text) RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT coalesce(max(e.position), 0) FROM tasklog.events e
    WHERE e.user_id = owner AND e.task_id IS NULL AND e.type = 'stream.erased'
$$;

-- The event at a position, without its texts, and the position of the last erasure; nothing of a user who has left.
CREATE OR REPLACE FUNCTION tasklog.event_at(owner text, at_position bigint)
RETURNS TABLE (task_id bigint, version integer, erased bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT e.task_id, e.version, tasklog.erased(owner) FROM tasklog.events e
    JOIN tasklog.streams s ON s.user_id = e.user_id
    WHERE e.user_id = owner AND e.position = at_position
$$;

-- The newest events of a task after a version, newest first: what each set, see event_log/setters.py.
CREATE OR REPLACE FUNCTION tasklog.changes_of_task(owner text, of_task bigint, after integer, at_most integer)
RETURNS TABLE ("position" bigint, version integer, sets text[], undoes bigint, continues boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT e.position, e.version, array_remove(ARRAY[
               CASE WHEN type IN ('task.created', 'task.adopted', 'task.deleted', 'task.restored') THEN 'existence' END,
               -- EACH setter
               CASE WHEN {setter.sets} THEN '{setter.field}' END,
               -- END EACH
               NULL], NULL),
           tasklog.undoes_or_adopts(e.type, e.metadata), tasklog.continues(e.metadata)
    FROM tasklog.events e WHERE e.user_id = owner AND e.task_id = of_task AND e.version > after
    ORDER BY e.version DESC LIMIT at_most
$$;

-- A user's newest events since the last erasure, newest first.
CREATE OR REPLACE FUNCTION tasklog.changes_of_user(owner text, at_most integer)
RETURNS TABLE ("position" bigint, version integer, undoes bigint, continues boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT e.position, e.version, tasklog.undoes_or_adopts(e.type, e.metadata), tasklog.continues(e.metadata)
    FROM tasklog.events e WHERE e.user_id = owner AND e.position > (SELECT tasklog.erased(owner))
    ORDER BY e.position DESC LIMIT at_most
$$;

-- The position of the event of a task at a version, and the position that its command took back.
CREATE OR REPLACE FUNCTION tasklog.undo_at(owner text, of_task bigint, at_version integer)
RETURNS TABLE ("position" bigint, undoes bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT e.position, tasklog.undoes(e.metadata) FROM tasklog.events e
    WHERE e.user_id = owner AND e.task_id = of_task AND e.version = at_version
$$;
