"""How an API process listens and serves HTTP, one API alone or both as one gateway."""
