-- A user's deleted tasks, from the ledger alone: a deletion that is its task's last event. See read_api/trash.py.

-- The newest deletions before a position, one more than `page_size`; all for null. With a page size, `total` counts
-- all: each restoration belongs to one deletion. What was deleted before the last erasure is gone for good.
CREATE OR REPLACE FUNCTION tasklog.trash(owner text, before bigint, page_size integer)
RETURNS TABLE (head bigint, mark text, ids bigint[], positions bigint[], total bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    erased CONSTANT bigint := tasklog.erased(owner);
BEGIN
    SELECT s.head, tasklog.mark(s.hash) INTO head, mark FROM tasklog.streams s WHERE s.user_id = owner;
    SELECT array_agg(d.task_id), array_agg(d.position) INTO ids, positions FROM (
        SELECT e.task_id, e.position FROM tasklog.events e
        WHERE e.user_id = owner AND e.type = 'task.deleted' AND e.position > erased
          AND e.position < coalesce(before, 9223372036854775807)
          AND NOT EXISTS (SELECT FROM tasklog.events later WHERE later.user_id = owner
                          AND later.task_id = e.task_id AND later.version = e.version + 1)
        ORDER BY e.position DESC LIMIT page_size + 1) d;
    IF page_size IS NOT NULL THEN
        SELECT coalesce(sum(CASE e.type WHEN 'task.deleted' THEN 1 ELSE -1 END), 0) INTO total FROM tasklog.events e
        WHERE e.user_id = owner AND e.type IN ('task.deleted', 'task.restored') AND e.position > erased;
    END IF;
    RETURN NEXT;
END $$;
