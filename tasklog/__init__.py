"""Starts Tasklog: the command line, the all-in-one server and the embedded Postgres and Valkey."""
