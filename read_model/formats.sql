-- The format of the rows of `tasks`: a digest, see ROW_FORMAT in read_model/formats.py.

-- The format of the version that migrated this database last. Only projectors of that version rebuild rows in other
-- formats, so two versions side by side do not undo each other's work. STABLE, because an IMMUTABLE function would be
-- evaluated once in a cached plan, and its later replacement would not be seen.
CREATE OR REPLACE FUNCTION tasklog.row_format() RETURNS text LANGUAGE sql STABLE AS $$
    SELECT '{ROW_FORMAT}'
$$;

-- A format as a checkpoint stores it. Services of 1.0 know no formats, but when they write rows they change `position`
-- or `mended_at`, so the stored text does not match any more.
CREATE OR REPLACE FUNCTION tasklog.format_at(format text, "position" bigint, mended_at timestamptz) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT $1 || ' at ' || $2 || coalesce(', ' || extract(epoch FROM $3), '')
$$;

-- Whether all rows of a checkpoint's user are in a format. Null matches any, for services of 1.0.
CREATE OR REPLACE FUNCTION tasklog.is_in_format(
    row_format text, format text, "position" bigint, mended_at timestamptz
) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT coalesce($1 = tasklog.format_at($2, $3, $4), $2 IS NULL)
$$;

-- The whole JSON of a task, of its `body` in a row: a short body with the usual end is stored without it, and without its
-- first brace, see stored_body in read_model/body.py. The length is known without reading a long text.
CREATE OR REPLACE FUNCTION tasklog.whole_body(body text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN octet_length($1) > {SHORT_BODY} OR $1 LIKE '{%' THEN $1 ELSE '{' || $1 || '{PLAIN_END}' END
$$;

-- How many bytes that is, without making it.
CREATE OR REPLACE FUNCTION tasklog.body_bytes(body text) RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT octet_length($1) + CASE WHEN octet_length($1) > {SHORT_BODY} OR $1 LIKE '{%' THEN 0
                                   ELSE octet_length('{' || '{PLAIN_END}') END
$$;
