"""What a task is, what may be asked of it, and what happened to it. Pure: no clock, no I/O, no framework."""
