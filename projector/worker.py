"""The projector's process: catch up whenever woken, and once a second in any case; arq for operational jobs."""
