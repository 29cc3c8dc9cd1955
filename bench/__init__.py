"""The benchmark: Tasklog beside a plain CRUD backend, on the same Postgres, in one run. Start it by `./run bench`."""
