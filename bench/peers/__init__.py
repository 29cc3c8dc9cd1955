"""What Tasklog is measured beside: task backends without an event log, each with one table that holds what is so now.

`crud` is the plan's own backend, plainly written. `fastapi_asyncpg` and `fastify` are what a good engineer would tune:
raw SQL, prepared statements, a pool of 10, tokens verified once; no history, no limits, no log lines.

The tuned ones were compared in turn with two that somebody else tuned for the same contract, in CPU µs an answer of
API and Postgres, the others' first. Medians of 7 rounds of 1 s on a busy machine (2026-11-29): fastify GET 574 and 574,
list 713 and 706. Of 6 rounds: asyncpg GET 2,488 and 1,737, list 1,568 and 1,218. Earlier and shorter: fastify POST
317 and 281, 528 and 476, toggles 290 and 258; asyncpg POST 655 and 650, 808 and 966, toggles 872 and 824. So none of
ours is slower, as far as such a machine can tell.
"""
