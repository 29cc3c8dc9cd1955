"""What `./run migrate` installed: a digest of each object of the schema, stored in the database and checked by verify.

Anyone who may change the schema may change this list too. So it shows accidents and manual grants, but not a superuser
who hides changes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any, Final, Protocol

import orjson

_DIGITS: Final = 16
_KEPT_ON: Final = "tasklog.alembic_version"

PLAIN_NAMES: Final = "search_path = pg_catalog, pg_temp"
"""The setting for a transaction that reads the catalog: names are then written the same way for every login."""

_CATALOG: Final = r"""
    -- Each object of the schema: its kind, table, name, and its full definition. Two things are left out: the rights of
    -- an owner, who can always grant them to itself, and settings that only affect speed.
    WITH schema AS (
        SELECT oid, nspname, nspowner, nspacl FROM pg_namespace WHERE nspname = 'tasklog'
    ), relation AS (
        SELECT c.*, schema.nspowner FROM pg_class c JOIN schema ON schema.oid = c.relnamespace
    ), granted AS (
        SELECT 'schema' AS kind, '' AS "table", nspname::text AS name, nspowner AS owner, nspacl AS acl FROM schema
        UNION ALL SELECT CASE relkind WHEN 'S' THEN 'sequence' ELSE 'table' END, relname, '', relowner, relacl
            FROM relation WHERE relkind IN ('r', 'p', 'S')
        UNION ALL SELECT 'column', relname, attname, relowner, attacl
            FROM relation JOIN pg_attribute ON attrelid = relation.oid WHERE attacl IS NOT NULL
        UNION ALL SELECT 'function', '', format('%s(%s)', proname, oidvectortypes(proargtypes)), proowner,
                coalesce(proacl, acldefault('f', proowner))
            FROM pg_proc JOIN schema ON schema.oid = pronamespace
    ), entry AS (
        SELECT granted.kind, "table", name,
               a.privilege_type || CASE WHEN is_grantable THEN ' on' ELSE '' END AS allowed,
               CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(a.grantee) END AS grantee
        FROM granted CROSS JOIN LATERAL aclexplode(acl) a WHERE a.grantee <> owner
    ), rights AS (
        SELECT kind, "table", name, string_agg(grantee || ' ' || allowed, ', ' ORDER BY grantee, allowed) AS fact
        FROM entry WHERE grantee = 'PUBLIC' OR grantee LIKE 'tasklog\_%' GROUP BY 1, 2, 3
    ), fact AS (
        SELECT 'schema' AS kind, '' AS "table", nspname::text AS name, '' AS fact FROM schema
        UNION ALL SELECT CASE relkind WHEN 'S' THEN 'sequence' ELSE 'table' END, relname, '',
                concat_ws(' ', relpersistence, relrowsecurity, relforcerowsecurity, relowner = nspowner, s.seqtypid,
                          s.seqstart, s.seqincrement, s.seqmax, s.seqmin, s.seqcycle)
            FROM relation LEFT JOIN pg_sequence s ON s.seqrelid = relation.oid WHERE relkind IN ('r', 'p', 'S')
        UNION ALL SELECT 'column', relname, attname,
                concat_ws(' ', format_type(atttypid, atttypmod), attnotnull, attcollation::regcollation,
                          coalesce(attstattarget, -1), attidentity, attgenerated, pg_get_expr(adbin, adrelid))
            FROM relation JOIN pg_attribute a ON attrelid = relation.oid
            LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
            WHERE relkind IN ('r', 'p') AND attnum > 0 AND NOT attisdropped
        UNION ALL SELECT 'index', relation.relname, i.relname,
                concat_ws(' ', pg_get_indexdef(i.oid), indisunique, indisvalid, indisready)
            FROM relation JOIN pg_index ON indrelid = relation.oid JOIN pg_class i ON i.oid = indexrelid
            WHERE NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = i.oid)
        UNION ALL SELECT 'constraint', relname, conname, concat_ws(' ', pg_get_constraintdef(c.oid), convalidated)
            FROM relation JOIN pg_constraint c ON conrelid = relation.oid WHERE contype NOT IN ('n', 't')
        UNION ALL SELECT 'function', '', format('%s(%s)', proname, oidvectortypes(proargtypes)),
                concat_ws(' ', prokind, prosrc, lanname, prosecdef, proleakproof, proisstrict, provolatile,
                          proparallel, proconfig, pg_get_function_result(p.oid), pg_get_function_arguments(p.oid),
                          proowner = schema.nspowner)
            FROM pg_proc p JOIN schema ON schema.oid = pronamespace JOIN pg_language l ON l.oid = prolang
        UNION ALL SELECT 'trigger', relname, tgname, pg_get_triggerdef(t.oid)
            FROM relation JOIN pg_trigger t ON tgrelid = relation.oid WHERE NOT tgisinternal
        UNION ALL SELECT 'rule', relname, rulename, pg_get_ruledef(r.oid)
            FROM relation JOIN pg_rewrite r ON ev_class = relation.oid WHERE relkind IN ('r', 'p')
        UNION ALL SELECT 'policy', relname, polname, '' FROM relation JOIN pg_policy ON polrelid = relation.oid
        UNION ALL SELECT 'role', '', rolname, concat_ws(' ', rolsuper, rolcreaterole, rolcreatedb, rolreplication,
                rolbypassrls, (SELECT string_agg(pg_get_userbyid(roleid), ',' ORDER BY pg_get_userbyid(roleid))
                               FROM pg_auth_members WHERE member = r.oid))
            FROM pg_roles r
            WHERE rolname IN ('tasklog_writer', 'tasklog_projector', 'tasklog_reader', 'tasklog_eraser')
        UNION ALL SELECT 'right', "table", format('%s of %s on %s', allowed, grantee, coalesce(nullif(concat_ws('.',
                nullif("table", ''), nullif(name, '')), ''), kind)), ''
            FROM entry
            WHERE NOT (grantee = 'PUBLIC' OR grantee LIKE 'tasklog\_%') AND allowed NOT IN ('SELECT', 'USAGE')
    )
    SELECT kind, "table", name, concat_ws(E'\n', fact.fact, rights.fact) AS fact
    FROM fact LEFT JOIN rights USING (kind, "table", name)
"""
_READ: Final = f"SELECT obj_description(to_regclass('{_KEPT_ON}'), 'pg_class')"

_NEVER_INSTALLED: Final = ("trigger", "rule", "policy", "right")
"""Kinds of objects that migrate never installs: any that exist were added by someone else."""


class Connection(Protocol):
    """The connection that reads the catalog: an asyncpg connection in a transaction with `PLAIN_NAMES`."""

    async def fetch(self, query: str) -> Sequence[Any]:
        """Return the rows of a statement."""

    async def fetchval(self, query: str) -> Any:
        """Return the first value of a statement's first row."""


async def catalog(connection: Connection, tables: Collection[str]) -> str:
    """Return the statement that stores the list of installed objects: those of `tables`, and those of no table."""
    found = {
        key: digest
        for key, (kind, table, digest) in (await _objects(connection)).items()
        if kind not in _NEVER_INSTALLED and (not table or table in tables)
    }
    text = orjson.dumps(found, option=orjson.OPT_SORT_KEYS).decode().replace("'", "''")
    return f"COMMENT ON TABLE {_KEPT_ON} IS '{text}'"


async def differences(connection: Connection) -> list[str]:
    """Return a sentence for each object that differs from what the last `./run migrate` installed."""
    try:
        installed = orjson.loads(await connection.fetchval(_READ) or "")
    except orjson.JSONDecodeError:
        return ["there is no list of what ./run migrate installed: run it again"]
    return list(_differences(installed, await _objects(connection)))


def _differences(installed: Mapping[str, str], found: Mapping[str, tuple[str, str, str]]) -> Iterator[str]:
    for key in sorted(installed.keys() - found.keys()):
        table = key.partition(" ")[2].partition(".")[0]
        if not key.startswith(("column ", "index ", "constraint ")) or f"table {table}" in found:
            yield f"{key} is missing: run ./run migrate, or restore it"
    for key, (kind, table, digest) in sorted(found.items()):
        if installed.get(key, digest) != digest:
            yield f"{key} is not as ./run migrate installed it"
        elif key not in installed and _matters(kind, table, installed):
            yield f"{key} was not installed by ./run migrate"


def _matters(kind: str, table: str, installed: Mapping[str, str]) -> bool:
    """Return whether an object that migrate did not install affects Tasklog. Other tables in the schema do not."""
    ours = not table or f"table {table}" in installed or f"sequence {table}" in installed
    return ours and kind not in ("table", "sequence", "index")


async def _objects(connection: Connection) -> dict[str, tuple[str, str, str]]:
    """Return the kind, table and digest of each object; the key is the object's kind and name."""
    found = {}
    for kind, table, name, fact in await connection.fetch(_CATALOG):
        full = ".".join(part for part in (table, name) if part)
        key = f"{kind} {name if kind == 'right' else full}"
        # An ordinary index only affects speed, so anyone may add one; a unique index can refuse rows.
        kind_of = "unique index" if kind == "index" and fact.startswith("CREATE UNIQUE") else kind
        found[key] = (kind_of, table, sha256(fact.encode()).hexdigest()[:_DIGITS])
    return found
