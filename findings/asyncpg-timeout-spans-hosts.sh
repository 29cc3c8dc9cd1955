#!/bin/sh
# asyncpg 0.31.0: `timeout` of connect() is for all hosts of a URL together. A first host that accepts connections and
# then says nothing, as a frozen or fenced-off primary does, uses it up, and the second host is never tried.
#
# Guess before the run: with two hosts in the URL, each attempt has the timeout, as libpq's connect_timeout is for each
#   host; so the second host is tried when the first has been silent for two seconds.
# Seen: TimeoutError after two seconds, and no connection to the second host. psycopg 3.3.2 with the same two hosts and
#   connect_timeout=2 goes to the second one.
# What to do: connect to one host after the other, each with a timeout of its own; with a pool, in its `connect` function.
#
# Needs python3 with venv. Prints versions and what it saw; fails if that is no longer so.
set -eu
lab=$(mktemp -d)
trap 'rm -rf "$lab"' EXIT
cd "$lab"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check asyncpg==0.31.0 "psycopg[binary]==3.3.2" 2>/dev/null
echo "versions: $(venv/bin/pip list 2>/dev/null | grep -i '^asyncpg \|^psycopg ' | tr -s ' ' | tr '\n' ' ')"
seen=$(venv/bin/python - <<'PY'
import asyncio
import socket
import threading

import asyncpg
import psycopg


def listener() -> socket.socket:
    server = socket.socket()
    server.bind(("127.0.0.1", 0))
    server.listen()
    return server


def count_connections() -> None:
    while True:
        connection, _ = second.accept()
        tried.append(True)
        connection.close()


silent, second, tried = listener(), listener(), []
threading.Thread(target=count_connections, daemon=True).start()
hosts = ",".join(f"127.0.0.1:{server.getsockname()[1]}" for server in (silent, second))
try:
    asyncio.run(asyncpg.connect(f"postgresql://user@{hosts}/db", timeout=2, ssl=False))
except (TimeoutError, OSError, asyncpg.PostgresError) as error:
    print(f"asyncpg: {type(error).__name__}, second host tried: {bool(tried)}")
tried.clear()
try:
    psycopg.connect(f"postgresql://user@{hosts}/db?connect_timeout=2&sslmode=disable&gssencmode=disable")
except psycopg.OperationalError as error:
    print(f"psycopg: {type(error).__name__}, second host tried: {bool(tried)}")
PY
)
echo "$seen"
expected="asyncpg: TimeoutError, second host tried: False
psycopg: OperationalError, second host tried: True"
[ "$seen" = "$expected" ]
