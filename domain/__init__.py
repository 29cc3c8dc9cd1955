"""Tasks, commands and events. Pure: no clock, no I/O, no framework."""
