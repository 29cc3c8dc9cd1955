"""What Tasklog is measured beside: task backends without an event log, each with one table that holds what is so now.

`crud` is the plan's own backend, plainly written. `fastapi_asyncpg` and `fastify` are what a good engineer would tune:
raw SQL, prepared statements, a pool of 10, tokens verified once; no history, no limits, no log lines.

The tuned ones were compared once, in turn, with two that somebody else tuned for the same contract, in CPU µs an
answer of API and Postgres, the others' first: fastify's POST 317 and 281, its GET 183 and 149; asyncpg's POST 655 and
650, GET 690 and 677, toggles 872 and 824. The machine had other work too, so only neighbours may be compared.
"""
