"""The read side: lists, single tasks and histories that are never stale."""
