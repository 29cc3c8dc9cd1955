"""The benchmark: Tasklog and a plain CRUD backend on the same Postgres, in one run. Start it with `./run bench`."""
