"""A request under an idempotency key has the same digest in every release.

The expected digests were computed once, by the code of release 1.0.0 (commit 1d14715).
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from command_api.idempotency import key_with_digest
from domain.commands import CompleteTask, CreateTask, DeleteTask, EditTask, ReopenTask, TaskCommand, ToggleTask
from domain.fields import UNSET, Unset

OF_RELEASE_1_0: list[tuple[int | None, TaskCommand, frozenset[int] | None, str]] = [
    (None, CreateTask(title="Milk"), None, "e9ff6b8e3bbbc7a85758cf432a4464b69a305b5ea15b0648d6fabac72eb31c11"),
    (
        None,
        CreateTask(title='Zoë\'s "oat" \\ milk\n\u2028\u00a0\U0001f95b\x7f', description="it's\t"),
        None,
        "c53350886c938e743846684b169ae7b4dfa4b2ebf154a0b284bceed1f74f96eb",
    ),
    (
        None,
        CreateTask(title="Milk", description=""),
        None,
        "4c28830486ae8da7f580451eaafc6a0ab22241494d9be727cb64699a543be06a",
    ),
    (7, EditTask(), None, "1b3f3ec8990ae2257ac144eb60c4be5cd17824c05a2a21e5d98b5f5130bd6e0e"),
    (7, EditTask(title="Oat"), None, "add514fd24e4cbbaef62f8233ee4f14942e45fadb4d7e890666ff274b93f67ab"),
    (
        7,
        EditTask(description=None),
        frozenset({3}),
        "07b0a25ed8304dda33070d4f69047ea73c457a3aa88640e935325399804e845b",
    ),
    (
        7,
        EditTask(title="Oat", description="two", completed=True),
        frozenset({3, 12, 1}),
        "2e920c93f313635b88ac6d91abdb059697b4e8f99bdb314f91526ec6361297ec",
    ),
    (7, EditTask(completed=False), frozenset(), "02871080b1374af32563a848c846b415becff717a28d950bd70baaf0eae93c51"),
    (7, CompleteTask(), None, "dbc1b9dc74d54d68a84e0dcc81a19aca64aa780c4b36f6eccb0ea4bf9050f8b8"),
    (7, ReopenTask(), None, "32d08726d1f9062c7d36a48248c091bda38d90b9c91dd8555c9a98659ba5db0f"),
    (2**63 - 1, ToggleTask(), None, "9f5f6f58c1f31ed9c71cc60db47b3f6749a83504e9b99e54cd67ab89e61ee323"),
    (7, DeleteTask(), frozenset({2}), "6fb27682bc025ef50f25a654bcbb03653575d6d289bcd96f8f2f6b6f618fc99e"),
]


@dataclass(frozen=True, kw_only=True, slots=True)
class CreateTaskOfLater(CreateTask):
    """The command as a later release may define it, with one more field and another class name."""

    due: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class EditTaskOfLater(EditTask):
    due: str | Unset | None = UNSET


@pytest.mark.parametrize(
    ("task_id", "command", "if_match", "expected"),
    OF_RELEASE_1_0,
    ids=[f"{type(command).__name__}-{number}" for number, (_, command, _, _) in enumerate(OF_RELEASE_1_0)],
)
def test_a_request_has_the_digest_that_release_1_0_gave_it(
    task_id: int | None, command: TaskCommand, if_match: frozenset[int] | None, expected: str
) -> None:
    assert key_with_digest("K", task_id, command, if_match).fingerprint.hex() == expected


def test_a_field_of_a_later_release_changes_no_digest_while_it_is_not_given() -> None:
    created = key_with_digest("K", None, CreateTaskOfLater(title="Milk"), None)
    assert created.fingerprint.hex() == OF_RELEASE_1_0[0][3]
    edited = key_with_digest("K", 7, EditTaskOfLater(title="Oat"), None)
    assert edited.fingerprint.hex() == OF_RELEASE_1_0[4][3]


def test_a_field_of_a_later_release_that_is_given_makes_another_request() -> None:
    digests = {
        key_with_digest("K", 7, command, None).fingerprint
        for command in (
            EditTaskOfLater(title="Oat"),
            EditTaskOfLater(title="Oat", due=None),
            EditTaskOfLater(title="Oat", due="2026-12-01"),
        )
    }
    assert len(digests) == 3
