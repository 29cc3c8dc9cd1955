-- Users move between ledgers (cells), see audit/move.py. A user with a row in `streams` is here: appends and reads of
-- such users never look into the tables of moves. `arrivals` has users who came, or are coming; `departures` those who
-- left, of whom all other rows may still be here until an operator removes them.

-- Where a user is who is not here: 'arriving', or 'left ' and the name of the user's cell, if it has one. Null for all
-- others, also for users who are new.
CREATE OR REPLACE FUNCTION tasklog.elsewhere(owner text) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce((SELECT 'arriving' FROM tasklog.arrivals a WHERE a.user_id = owner AND a.opened_at IS NULL),
                    (SELECT 'left ' || coalesce(d.cell, '') FROM tasklog.departures d WHERE d.user_id = owner))
$$;

-- The same for a command that failed: what it read may be from before its user arrived. So a user who arrived a moment
-- ago counts as arriving, and the command is repeated.
CREATE OR REPLACE FUNCTION tasklog.whereabouts(owner text) RETURNS text
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(tasklog.elsewhere(owner),
                    (SELECT 'arriving' FROM tasklog.arrivals a
                     WHERE a.user_id = owner AND a.opened_at > clock_timestamp() - interval '5 seconds'))
$$;
