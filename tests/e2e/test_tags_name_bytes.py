"""A task's ETag identifies the bytes of its answer, whatever changed them; a write may name it or the version."""

from __future__ import annotations

import httpx
import pytest

from tests.servers import RunningService, eventually

BODY = """
    UPDATE tasklog.tasks SET body = replace(body, $2, $3) WHERE user_id = $1 AND position($2 IN body) > 0 RETURNING id
"""


@pytest.fixture
def task(client: httpx.Client, tasks: str) -> str:
    return str(client.post(tasks, json={"title": "Milk"}).headers["location"])


def test_a_row_that_was_wrong_and_was_mended_is_not_what_the_client_has(
    shared_service: RunningService, client: httpx.Client, task: str, user: str
) -> None:
    written = client.patch(f"{task}/complete").headers["etag"]
    eventually(lambda: shared_service.database.execute(BODY, user, '"completed":true', '"completed":true'))
    right = client.get(task)
    assert right.headers["etag"] == written
    shared_service.database.execute(BODY, user, "Milk", "Silk")
    wrong = client.get(task, headers={"If-None-Match": written})
    assert (wrong.status_code, wrong.json()["title"]) == (200, "Silk")
    shared_service.database.execute(BODY, user, "Silk", "Milk")
    mended = client.get(task, headers={"If-None-Match": wrong.headers["etag"]})
    assert (mended.status_code, mended.json()["title"]) == (200, "Milk")
    assert client.get(task, headers={"If-None-Match": written}).status_code == 304


@pytest.mark.parametrize("as_release_1_0", [False, True])
def test_a_write_names_the_tag_or_the_version_that_it_saw(
    client: httpx.Client,
    task: str,
    as_release_1_0: bool,
) -> None:
    seen = '"1"' if as_release_1_0 else client.get(task).headers["etag"]
    assert [client.patch(f"{task}/complete", headers={"If-Match": seen}).status_code for _ in range(2)] == [200, 412]


def test_a_tag_of_the_past_names_the_bytes_and_no_version(client: httpx.Client, task: str) -> None:
    seen = client.get(f"{task}?as_of=1").headers["etag"]
    assert client.get(f"{task}?as_of=1", headers={"If-None-Match": seen}).status_code == 304
    assert client.patch(f"{task}/complete", headers={"If-Match": seen}).status_code == 412


@pytest.mark.parametrize("path", ["", "?limit=1", "?as_of=1", "/history"])
def test_tags_of_lists_say_how_tasks_are_written(client: httpx.Client, tasks: str, task: str, path: str) -> None:
    """A release that renders tasks differently must not answer 304 to a client with the old form."""
    target = tasks.removesuffix("/tasks") + "/history" if path == "/history" else tasks + path
    from read_model.formats import BODY_FORMAT  # noqa: PLC0415 - missing before the fix

    assert client.get(task).status_code == 200
    assert BODY_FORMAT in client.get(target).headers["etag"]
