"""The peer: the todo backend as one would plainly write it, with FastAPI, SQLModel, asyncpg and PyJWT.

It is what the plan that Tasklog implements describes: a session per request, a commit, a refresh, a response
model; the plan's pool of 5 connections and 10 more, with a ping before each use.
"""
