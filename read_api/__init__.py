"""The read side: filtered and sorted lists that are never stale, and the history."""
