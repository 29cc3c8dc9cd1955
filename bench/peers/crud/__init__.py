"""The peer: the todo backend as one would plainly write it, with FastAPI, SQLModel, asyncpg and PyJWT.

It is what the plan that Tasklog implements describes: a session per request, a commit, a refresh, a response
model; the plan's pool of 5 connections and 10 more, with a ping before each use. Measured once in turn with the plan's
own code, on a busy machine, so the CPU time of API and Postgres an answer is what compares, in µs, the plan's first:
POST 3,320 and 3,359, PUT 4,411 and 4,377, GET 2,435 and 2,269, list of 20 2,402 and 2,193. Answers a second, medians
of 3 rounds that differed by a factor of two among themselves: 326 and 302, 163 and 131, 267 and 275, 355 and 511.
"""
