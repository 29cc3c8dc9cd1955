"""The name of an operator that an erasure or an adoption records."""

from __future__ import annotations

import os

import pytest

from tasklog.cli.conventions import operator


@pytest.fixture(autouse=True)
def _no_name_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)


def test_an_operator_is_the_name_of_the_login(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "ann")
    assert operator() == "operator ann"


def test_an_operator_without_a_name_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the container, whose user is in no passwd file."""
    monkeypatch.setattr(os, "getuid", lambda: 2_000_010_001)
    assert operator() == "operator uid 2000010001"
