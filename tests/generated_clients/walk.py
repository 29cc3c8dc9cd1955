"""The README's walk through a client that openapi-python-client generated; prints what it saw as JSON.

It runs in an environment of its own: `python walk.py URL TOKEN OTHERS_TOKEN USER`.
"""

from __future__ import annotations

import json
import sys

from client import AuthenticatedClient, Client
from client.api.service import health
from client.api.tasks import (
    complete_task,
    create_task,
    delete_task,
    edit_task,
    read_history,
    read_task,
    read_task_history,
    read_tasks,
)
from client.models import CompletionBody, CreateTaskBody, EditTaskBody, Problem, ReadTasksSort, ReadTasksStatus


def main(url: str, token: str, others_token: str, user: str) -> dict[str, object]:
    """Walk; return what came."""
    http = AuthenticatedClient(base_url=url, token=token)
    body = CreateTaskBody(title="Buy milk", description="two litres")
    created = create_task.sync(user, client=http, body=body)
    number = created.id
    completed = complete_task.sync(user, number, client=http, body=CompletionBody())
    edited = edit_task.sync(user, number, client=http, body=EditTaskBody(description="one litre"))
    cleared = edit_task.sync(user, number, client=http, body=EditTaskBody(description=None))
    listed = read_tasks.sync(user, client=http, status=ReadTasksStatus.COMPLETED, sort=ReadTasksSort.TITLE)
    then = read_tasks.sync(user, client=http, as_of=1)
    history = read_task_history.sync(user, number, client=http)
    events = read_history.sync(user, client=http)
    one = read_task.sync(user, number, client=http)
    deleted = delete_task.sync(user, number, client=http)
    refused = create_task.sync(user, client=http, body=CreateTaskBody(title=""))
    stranger = AuthenticatedClient(base_url=url, token=others_token)
    problems = [
        read_task.sync(user, number, client=http),
        read_tasks.sync(user, client=Client(base_url=url)),
        read_tasks.sync(user, client=stranger),
        refused,
    ]
    assert all(isinstance(problem, Problem) for problem in problems)
    return {
        "health": health.sync(client=http).status,
        "created": [created.title, created.description, created.completed],
        "completed": completed.completed,
        "edited": [edited.title, edited.description, edited.completed],
        "cleared": [cleared.title, cleared.description],
        "listed": [task.id == number for task in listed],
        "then": [[task.title, task.completed] for task in then],
        "history": [event.type_ for event in history.events],
        "same events": [event.hash_ for event in events.events] == [event.hash_ for event in history.events],
        "one": one.title,
        "deleted": deleted.message,
        "statuses": [problem.status for problem in problems],
        "fields": [error.field for error in refused.errors],
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(*sys.argv[1:])))
