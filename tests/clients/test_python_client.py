"""The client of `clients/python`, sync and async, against the running service."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tasklog_client
from tasklog_client import AsyncTasklog, Changes, ProblemError, Tasklog, types

from tests.servers import RunningService, run_async, token

DOCUMENT: dict[str, Any] = json.loads((Path(__file__).parents[2] / "edge" / "openapi.json").read_text())
SCHEMAS: dict[str, Any] = DOCUMENT["components"]["schemas"]


@pytest.fixture
def tasklog(shared_service: RunningService, user: str) -> Iterator[Tasklog]:
    with Tasklog(shared_service.url, user, lambda: token(user)) as client:
        yield client


@pytest.mark.parametrize(
    ("kind", "schema"),
    [
        (types.Task, "Task"),
        (types.DeletedTask, "DeletedTask"),
        (types.TaskDeleted, "TaskDeleted"),
        (types.History, "History"),
        (types.HistoryEvent, "HistoryEvent"),
        (types.FieldChange, "FieldChange"),
        (types.Head, "Head"),
        (types.Changes, "ChangedTasks"),
        (types.CommandAnswer, "CommandsAnswer"),
        (types.Undone, "Undone"),
        (types.Stats, "Stats"),
        (types.StoredEvents, "StoredEvents"),
        (types.StoredEvent, "StoredEvent"),
        (types.Explained, "Explained"),
        (types.ExplainedCommand, "ExplainedCommand"),
        (types.ExplainedState, "ExplainedState"),
    ],
)
def test_a_type_has_the_members_of_the_openapi_document(kind: Any, schema: str) -> None:
    assert sorted(kind.__required_keys__) == sorted(SCHEMAS[schema]["required"])


def test_each_call_does_what_it_says(tasklog: Tasklog) -> None:
    milk = tasklog.create(title="Milk", tags=["home"], due_date="9000-12-01")
    bread = tasklog.create(title="Bread", key="once")
    assert tasklog.create(title="Bread", key="once") == bread
    assert [task["title"] for task in tasklog.tasks(sort="title")] == ["Bread", "Milk"]
    assert [task["title"] for task in tasklog.tasks(status="completed", limit=None)] == []
    edited = tasklog.edit(milk["id"], title="Oat milk", priority="high")
    assert (edited["title"], edited["priority"], edited["due_date"]) == ("Oat milk", "high", "9000-12-01")
    assert [task["title"] for task in tasklog.tasks(search="OAT", tags=["home"], priority="high")] == ["Oat milk"]
    assert tasklog.stats() == {"total": 2, "pending": 2, "completed": 0, "overdue": 0}
    assert tasklog.complete(milk["id"])["status"] == "completed"
    assert tasklog.complete(milk["id"], completed=False)["status"] == "pending"
    assert tasklog.undo()["tasks"][0]["status"] == "completed"
    assert tasklog.delete(bread["id"]) == {"message": "Task deleted successfully"}
    assert [task["id"] for task in tasklog.trash()] == [bread["id"]]
    assert tasklog.restore(bread["id"])["title"] == "Bread"
    assert tasklog.get(bread["id"])["title"] == "Bread"
    assert [event["type"] for event in tasklog.history(bread["id"])["events"]] == [
        "task.created",
        "task.deleted",
        "task.restored",
    ]
    assert tasklog.history(limit=1)["next"] == 1
    assert [event["type"] for event in tasklog.events(after=1, limit=2)["events"]] == ["task.created", "task.edited"]
    explained = tasklog.explain(3)
    assert explained["command"] == {
        "type": "task.edit",
        "task_id": milk["id"],
        "version": 1,
        "data": {"title": "Oat milk", "priority": "high"},
        "undoes": None,
        "positions": [3],
    }
    assert [(explained[side] or {})["title"] for side in ("row_before", "row_after")] == ["Milk", "Oat milk"]


def test_an_error_says_what_is_wrong(tasklog: Tasklog) -> None:
    with pytest.raises(ProblemError, match=r"^title: must be 1 to 200 characters$") as seen:
        tasklog.create(title="")
    assert (seen.value.status, seen.value.type) == (422, "/problems/invalid-request")
    with pytest.raises(ProblemError, match="not known any more") as seen:
        tasklog.changes("unknown")
    assert seen.value.status == 410
    with pytest.raises(ProblemError) as seen:
        next(tasklog.stream("unknown"))
    assert seen.value.status == 410


def test_many_commands_are_carried_out_in_order(tasklog: Tasklog) -> None:
    answer = tasklog.commands(
        [
            {"id": "a", "type": "task.create", "ref": "milk", "data": {"title": "Milk"}},
            {"id": "b", "type": "task.complete", "task": "milk"},
            {"id": "c", "type": "task.complete", "task": 2**52},
        ]
    )
    assert [result["status"] for result in answer["results"]] == [201, 200, 404]
    assert tasklog.changes(answer["token"])["tasks"] == []


def test_a_stream_gives_what_changes(tasklog: Tasklog) -> None:
    stream = tasklog.stream()
    assert next(stream)["tasks"] == []
    milk = tasklog.create(title="Milk")
    assert next(stream)["tasks"] == [milk]
    stream.close()


def test_the_async_client_does_the_same(shared_service: RunningService, user: str) -> None:
    async def walk() -> tuple[list[str], Changes, list[str]]:
        async with AsyncTasklog(shared_service.url, user, token(user)) as client:
            stream = client.stream()
            first = await anext(stream)
            milk = await client.create(title="Milk")
            second = await anext(stream)
            await stream.aclose()
            await client.edit(milk["id"], title="Oat milk")
            await client.delete(milk["id"])
            await client.restore(milk["id"])
            titles = [task["title"] for task in await client.tasks()]
            assert (await client.events(limit=1))["next"] == 1
            assert (await client.explain(2))["event"]["type"] == "task.edited"
            return [task["title"] for task in second["tasks"]], first, titles

    seen, first, titles = run_async(walk())
    assert (seen, first["tasks"], titles) == (["Milk"], [], ["Oat milk"])


def test_both_clients_have_the_same_calls() -> None:
    def calls(client: type) -> set[str]:
        return {name for name in vars(client) if not name.startswith("_")}

    assert calls(Tasklog) == calls(AsyncTasklog)
    assert set(tasklog_client.__all__) >= {"Tasklog", "AsyncTasklog", "ProblemError"}
