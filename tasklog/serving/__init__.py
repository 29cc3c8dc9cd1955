"""How an API process listens and serves HTTP: one API, or both as the gateway."""
