"""Every method on every path, with the own and another user's id, task and token: nobody reaches another's tasks.

Seen to fail: without the comparison of path and token in edge/authorization.py.
"""

from __future__ import annotations

from itertools import product
from typing import Any, TypeAlias

import httpx
import pytest

from tests.servers import RunningService

Clients: TypeAlias = dict[str | None, httpx.Client]

ME, OTHER = "idor-alice", "idor-mallory"
MISSING = 987_654_321
BODIES: dict[str, Any] = {"PUT": {"title": "changed"}, "POST": {"title": "new"}}
ON_LIST = ("GET", "HEAD", "POST")
ON_TASK = ("GET", "HEAD", "PUT", "DELETE", "PATCH")
EXTRA = ("history", "tasks?limit=1", "tasks?status=completed&sort=title", "stats", "export")
MARK = "the-text-of-mallory"


@pytest.fixture(scope="module")
def clients(shared_service: RunningService) -> Clients:
    """Return a client with each user's token, and one without a token."""
    return {user: shared_service.client(user) for user in (ME, OTHER, None)}


@pytest.fixture(scope="module")
def people(clients: Clients) -> dict[str, int]:
    """Return a task of each user."""
    found = {}
    for user, title in ((ME, "mine"), (OTHER, MARK)):
        answer = clients[user].post(f"/api/{user}/tasks", json={"title": title, "description": title})
        found[user] = answer.json()["id"]
    return found


def path(method: str, user: str, task: int) -> str:
    return f"/api/{user}/tasks/{task}" + ("/complete" if method == "PATCH" else "")


@pytest.mark.parametrize(("method", "whose"), list(product(ON_TASK, ["own", "foreign", "missing"])))
@pytest.mark.parametrize("who", list(product([ME, None], [ME, OTHER, "idor-nobody"])), ids="{0[0]} on {0[1]}".format)
def test_a_task_is_reached_by_its_user_alone(
    clients: Clients, people: dict[str, int], method: str, whose: str, who: tuple[str | None, str]
) -> None:
    by, of = who
    before = clients[OTHER].get(f"/api/{OTHER}/tasks")
    own = clients[by].post(f"/api/{ME}/tasks", json={"title": "mine"}).json()["id"] if by else people[ME]
    task = {"own": own, "foreign": people[OTHER], "missing": MISSING}[whose]
    answer = clients[by].request(method, path(method, of, task), json=BODIES.get(method))
    if by is None:
        expected = 401
    elif of != by:
        expected = 403
    else:
        expected = 200 if whose == "own" else 404
    assert answer.status_code == expected
    assert MARK not in answer.text
    assert clients[OTHER].get(f"/api/{OTHER}/tasks").content == before.content


@pytest.mark.parametrize("method", ON_LIST)
@pytest.mark.parametrize("extra", ["tasks", *EXTRA])
def test_a_list_is_its_users_alone(clients: Clients, people: dict[str, int], method: str, extra: str) -> None:
    def ask(by: str | None, of: str) -> httpx.Response:
        return clients[by].request(method, f"/api/{of}/{extra}", json=BODIES.get(method))

    assert MARK not in ask(ME, ME).text
    for by, of in ((ME, OTHER), (None, OTHER), (None, ME)):
        answer = ask(by, of)
        assert answer.status_code in ((401, 404, 405) if by is None else (403, 404, 405))
        assert MARK not in answer.text


@pytest.mark.parametrize(
    "trick", ["If-Match", "Idempotency-Key", "X-User-ID", "X-Original-URL", "X-HTTP-Method-Override"]
)
def test_no_header_opens_another_way(clients: Clients, people: dict[str, int], trick: str) -> None:
    values = {"If-Match": "*", "X-User-ID": OTHER, "X-Original-URL": f"/api/{OTHER}/tasks"}
    client = clients[ME]
    foreign = f"/api/{ME}/tasks/{people[OTHER]}"
    for method in ("GET", "PUT", "DELETE"):
        answer = client.request(method, foreign, json=BODIES.get(method), headers={trick: values.get(trick, "DELETE")})
        assert answer.status_code == 404


def test_a_key_of_mallorys_is_not_alices(clients: Clients, people: dict[str, int]) -> None:
    """The same idempotency key and request of another user is a different request."""
    key = {"Idempotency-Key": "idor-shared-key"}
    body = {"title": "keyed"}
    ids = {clients[user].post(f"/api/{user}/tasks", json=body, headers=key).json()["id"] for user in people}
    assert len(ids) == 2


def test_a_cursor_and_an_etag_of_mallorys_show_nothing(clients: Clients, people: dict[str, int]) -> None:
    mallory, alice = clients[OTHER], clients[ME]
    for title in ("x", "y"):
        mallory.post(f"/api/{OTHER}/tasks", json={"title": title})
    page = mallory.get(f"/api/{OTHER}/tasks?limit=1")
    cursor = httpx.URL(page.links["next"]["url"]).params["cursor"]
    answer = alice.get(f"/api/{ME}/tasks", params={"limit": 5, "cursor": cursor})
    assert answer.status_code == 200
    assert {task["user_id"] for task in answer.json()} <= {ME}
