"""Who sends a request: bearer tokens, verified with the keys of the auth server, and what they must claim."""
