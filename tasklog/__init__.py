"""Starts Tasklog: the command line, the supervisor, the HTTP server, the embedded Postgres and Valkey."""
