"""The benchmark: Tasklog beside other backends and its own earlier builds, on one Postgres. Start: `./run bench`."""
