-- What each service may do, and nothing else. Run by every migration.

REVOKE ALL ON SCHEMA tasklog FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA tasklog
    FROM PUBLIC, tasklog_writer, tasklog_projector, tasklog_reader, tasklog_eraser;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA tasklog
    FROM PUBLIC, tasklog_writer, tasklog_projector, tasklog_reader, tasklog_eraser;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA tasklog
    FROM PUBLIC, tasklog_writer, tasklog_projector, tasklog_reader, tasklog_eraser;
GRANT USAGE ON SCHEMA tasklog TO tasklog_writer, tasklog_projector, tasklog_reader, tasklog_eraser;

-- The command side appends, and reads the tasks that it decides on, only by functions.
GRANT EXECUTE ON FUNCTION
    tasklog.append(integer[], text[], bigint[], integer[], uuid[], text[], smallint[], text[], text[], text[], bytea[],
                   boolean),
    tasklog.append_commands(integer[], text[], bigint[], integer[], uuid[], uuid[], text[], smallint[], text[], text[],
                            text[], bytea[], boolean),
    tasklog.task_events(text[], bigint[], integer[]),
    tasklog.latest_events(text[], bigint[], integer[], integer),
    tasklog.carried_out(text[], text[]),
    tasklog.ids_of_new_tasks(text, text[], bytea[]),
    tasklog.remembered(text[], text[]),
    tasklog.event_at(text, bigint),
    tasklog.changes_of_task(text, bigint, integer, integer),
    tasklog.changes_of_user(text, integer),
    tasklog.undo_at(text, bigint, integer),
    tasklog.whereabouts(text)
TO tasklog_writer;

-- The read side answers only by functions.
GRANT EXECUTE ON FUNCTION
    tasklog.list_tasks(text, boolean, text, text, bigint, integer),
    tasklog.get_task(text, bigint),
    tasklog.heads(text[]),
    tasklog.compared_heads(text[], bigint[], text[]),
    tasklog.history(text, bigint, text, bigint, integer),
    tasklog.stored_events(text, bigint, integer),
    tasklog.moment(text, bigint, timestamptz),
    tasklog.events_between(text, bigint, bigint, bigint, integer),
    tasklog.short_list(text, boolean, text, text, bigint, integer, integer, text),
    tasklog.short_task(text, bigint, integer, text),
    tasklog.short_tasks(text[], bigint[], integer, text),
    tasklog.long_list(text, boolean, text, text, bigint, integer, text),
    tasklog.find_tasks(text, boolean, text[], text[], bigint, bigint, text, text, bigint, integer, integer, text),
    tasklog.find_long(text, boolean, text[], text[], bigint, bigint, text, text, bigint, integer, text),
    tasklog.count_tasks(text, bigint, text),
    tasklog.bodies(text, bigint[], integer[], text),
    tasklog.joined_bodies(text, bigint[], integer[], text),
    tasklog.tasks_at(text, bigint[], bigint),
    tasklog.short_events(text, bigint, bigint, integer),
    tasklog.texts(text, bigint[]),
    tasklog.changes(text, bigint, integer, integer, integer, text),
    tasklog.moved(text, text),
    tasklog.trash(text, bigint, integer),
    tasklog.elsewhere(text)
TO tasklog_reader;

-- The projector reads the ledger and writes its own tables. In the ledger it may only clear `unprojected_since`.
GRANT SELECT ON tasklog.events, tasklog.streams, tasklog.arrivals, tasklog.departures, tasklog.arrived_tasks
TO tasklog_projector;
GRANT EXECUTE ON FUNCTION
    tasklog.most_bytes(json),
    tasklog.latest_events(text[], bigint[], integer[], integer),
    tasklog.last_positions(text, bigint, integer, text[]),
    tasklog.row_format(),
    tasklog.format_at(text, bigint, timestamptz),
    tasklog.is_in_format(text, text, bigint, timestamptz),
    tasklog.elsewhere(text)
TO tasklog_projector;
GRANT UPDATE (unprojected_since) ON tasklog.streams TO tasklog_projector;
GRANT SELECT, INSERT, UPDATE, DELETE ON tasklog.tasks, tasklog.checkpoints TO tasklog_projector;
-- It also deletes expired idempotency keys, and finds those without an event.
GRANT SELECT (recorded_at), DELETE ON tasklog.idempotency_keys TO tasklog_projector;
GRANT EXECUTE ON FUNCTION tasklog.keys_without_event(text) TO tasklog_projector;
GRANT SELECT ON SEQUENCE tasklog.task_ids TO tasklog_projector;
GRANT EXECUTE ON FUNCTION tasklog.mend_task_ids() TO tasklog_projector;

-- Erasure changes events, only by one function that records the erasure.
GRANT EXECUTE ON FUNCTION tasklog.erase(text, text, text) TO tasklog_eraser;
