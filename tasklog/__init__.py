"""Starts Tasklog: the commands, the supervisor of all in one, the HTTP server, the embedded Postgres and Valkey."""
