"""What Tasklog is measured beside: task backends without an event log, each with one table that holds what is so now.

`crud` is the plan's own backend, plainly written. `fastapi_asyncpg` and `fastify` are what a good engineer would tune:
raw SQL, prepared statements, a pool of 10, tokens verified once; no history, no limits, no log lines.

The tuned ones were compared in short turns with two that somebody else tuned for the same contract, in CPU µs an
answer of API and Postgres, the others' first, one pair a run. fastify: POST 317 and 281, 528 and 476; GET 183 and
149, 190 and 228; toggles 290 and 258; list 405 and 429. asyncpg: POST 655 and 650, 808 and 966; GET 690 and 677,
811 and 776, 717 and 792, 418 and 510; toggles 872 and 824; list 968 and 1,003. The machine had other work too, so
only neighbours may be compared, and for GETs and lists the question is open.
"""
