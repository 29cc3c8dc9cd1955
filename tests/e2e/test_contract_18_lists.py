"""The wire forms of filters, search, sorts and counts, as real clients send them; each test's name has point 18."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.e2e.contract import assert_problem, create, titles

TASKS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("milk", {"priority": "high", "tags": ["home", "Food"], "category": "Errands", "due_date": "2026-02-07"}),
    ("Bread 100%", {"priority": "P1", "tags": "food", "description": "Straße", "due_date": "2026-02-07T09:30"}),
    ("oats", {"priority": "someday", "due_date": "2026-02-08T01:00:00+02:00"}),
    ("plain", {}),
)


@pytest.fixture
def listed(client: httpx.Client, tasks: str) -> str:
    """Return the path of a list of four tasks, of which the first is completed."""
    first, *_ = [create(client, tasks, title, **fields)["id"] for title, fields in TASKS]
    client.patch(f"{tasks}/{first}/complete")
    return tasks


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("priority=HIGH", ["Bread 100%", "milk"]),
        ("priority=p1", ["Bread 100%", "milk"]),
        ("priority=Someday", ["oats"]),
        ("priority=medium", ["plain"]),
        ("category=errands", ["milk"]),
        ("tags=FOOD", ["Bread 100%", "milk"]),
        ("tag=food", ["Bread 100%", "milk"]),
        ("tags=food,home", ["milk"]),
        ("tags=food&tags=home", ["milk"]),
        ("tags=home&tag=nothing", ["milk"]),
        ("search=MILK", ["milk"]),
        ("q=strasse", ["Bread 100%"]),
        ("search=food+home", ["milk"]),
        ("search=100%25", ["Bread 100%"]),
        ("search=1_0", []),
        ("search=1%250", []),
        ("search=milk&q=bread", ["milk"]),
        ("search=all", []),
        ("completed=true", ["milk"]),
        ("completed=false&status=Active", ["plain", "oats", "Bread 100%"]),
        ("status=DONE", ["milk"]),
        ("status=todo&search=oat", ["oats"]),
        ("status=incomplete&priority=high", ["Bread 100%"]),
        ("due_before=2026-02-07T09:30", ["milk"]),
        ("due_after=2026-02-07T09:30", ["oats", "Bread 100%"]),
        ("due_after=2026-02-07&due_before=2026-02-08", ["oats", "Bread 100%", "milk"]),
        ("due_after=2026-02-08T01:00:00+02:00", ["oats"]),
        ("due_after=2026-02-07T23:00:00Z", ["oats"]),
    ],
)
def test_18_a_filter_is_read_in_the_forms_that_clients_send(
    client: httpx.Client, listed: str, query: str, expected: list[str]
) -> None:
    assert titles(client.get(f"{listed}?{query}")) == expected


@pytest.mark.parametrize(
    "name", ["status", "completed", "priority", "category", "tags", "tag", "due_before", "due_after"]
)
@pytest.mark.parametrize("value", ["", "all"])
def test_18_all_and_nothing_are_no_filter(client: httpx.Client, listed: str, name: str, value: str) -> None:
    assert len(titles(client.get(f"{listed}?{name}={value}"))) == len(TASKS)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("sort=created_at", ["plain", "oats", "Bread 100%", "milk"]),
        ("sort_by=created&sort_order=asc", ["milk", "Bread 100%", "oats", "plain"]),
        ("sort=title&order=desc", ["plain", "oats", "milk", "Bread 100%"]),
        ("sort=due", ["milk", "Bread 100%", "oats", "plain"]),
        ("sortBy=due_date&order=desc", ["oats", "Bread 100%", "milk", "plain"]),
        ("sort=priority", ["Bread 100%", "milk", "plain", "oats"]),
        ("sort=priority&order=asc", ["oats", "plain", "milk", "Bread 100%"]),
        ("sort=updated_at", ["milk", "plain", "oats", "Bread 100%"]),
        ("sort=updated&order=asc&sort_order=desc", ["Bread 100%", "oats", "plain", "milk"]),
        ("order=asc", ["milk", "Bread 100%", "oats", "plain"]),
        ("sort=date", ["plain", "oats", "Bread 100%", "milk"]),
        ("sort=newest&sortOrder=desc", ["plain", "oats", "Bread 100%", "milk"]),
        ("sortBy=createdAt&sortOrder=asc", ["milk", "Bread 100%", "oats", "plain"]),
        ("sort_by=updatedAt", ["milk", "plain", "oats", "Bread 100%"]),
        ("sort=alpha", ["Bread 100%", "milk", "oats", "plain"]),
        ("sort=alphabetical&order=desc", ["plain", "oats", "milk", "Bread 100%"]),
        ("sort=name", ["Bread 100%", "milk", "oats", "plain"]),
        ("sortBy=dueDate", ["milk", "Bread 100%", "oats", "plain"]),
        ("sort=due_at", ["milk", "Bread 100%", "oats", "plain"]),
    ],
)
def test_18_a_sort_is_known_by_the_names_that_clients_send(
    client: httpx.Client, listed: str, query: str, expected: list[str]
) -> None:
    """`sort=created_at` and `sort=date` were a 422, which left clients' lists empty."""
    assert titles(client.get(f"{listed}?{query}")) == expected


@pytest.mark.parametrize(
    "query",
    [
        "status=maybe",
        "completed=perhaps",
        "sort=size",
        "sort_by=size",
        "sortBy=Title",
        "order=up",
        "sort_order=DESC",
        "due_before=tomorrow",
        "due_after=2026-02-30",
        f"priority={'x' * 51}",
        f"category={'x' * 51}",
        f"tags=a,{'x' * 51}",
        "tag=%00",
        "q=%00",
        f"search={'x' * 201}",
    ],
)
def test_18_what_a_known_parameter_cannot_mean_is_422_under_the_name_that_was_sent(
    client: httpx.Client, listed: str, query: str
) -> None:
    answer = client.get(f"{listed}?{query}")
    assert_problem(answer, 422)
    assert [error["field"] for error in answer.json()["errors"]] == [query.partition("=")[0]]


def test_18_parameters_that_contradict_each_other_are_400(client: httpx.Client, listed: str) -> None:
    assert_problem(client.get(f"{listed}?completed=true&status=pending"), 400)
    page = client.get(f"{listed}?tags=food&sort=due&limit=1")
    cursor = httpx.URL(page.links["next"]["url"]).params["cursor"]
    for other in ("tags=home&sort=due", "sort=due", "tags=food&sort=priority", "tags=food&sort=due&order=desc"):
        assert_problem(client.get(f"{listed}?{other}&limit=1&cursor={cursor}"), 400)


def test_18_pages_totals_etags_and_the_past_follow_the_filters(client: httpx.Client, listed: str) -> None:
    asked = f"{listed}?tags=food&tags=&search=o&sort=priority&order=asc&limit=1"
    assert client.get(asked.replace("&limit=1", "")).headers["etag"] != client.get(listed).headers["etag"]
    now, then = client.get(asked), client.get(f"{asked}&as_of=4")
    for page, expected in ((now, ["milk", "Bread 100%"]), (then, ["milk", "Bread 100%"])):
        assert page.headers["x-total-count"] == "2"
        unchanged = client.get(str(page.url), headers={"If-None-Match": page.headers["etag"]})
        assert unchanged.status_code == 304
        rest = client.get(page.links["next"]["url"])
        assert titles(page) + titles(rest) == expected
        assert "next" not in rest.links


def test_18_the_counts_are_those_of_the_acknowledged_tasks(client: httpx.Client, base: str, listed: str) -> None:
    answer = client.get(f"{base}/stats")
    assert (answer.status_code, answer.json()) == (200, {"total": 4, "pending": 3, "completed": 1, "overdue": 2})
    etag = {"If-None-Match": answer.headers["etag"]}
    assert client.get(f"{base}/stats", headers=etag).status_code == 304
    create(client, listed, "later", due_date="9999-01-01")
    assert client.get(f"{base}/stats", headers=etag).json() == {
        "total": 5,
        "pending": 4,
        "completed": 1,
        "overdue": 2,
    }


def test_18_another_users_counts_are_403(client: httpx.Client) -> None:
    assert_problem(client.get("/api/other/stats"), 403)
