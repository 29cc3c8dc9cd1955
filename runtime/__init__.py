"""What every process needs at start: settings, logs, Postgres, the Redis wake-up."""
