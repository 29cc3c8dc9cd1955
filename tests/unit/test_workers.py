"""How many workers `auto` starts: one a core, but no more than a container's limits allow.

Seen to fail: with the memory of a container left out, and with a quota rounded down.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runtime.settings import Settings, SettingsError, load_settings
from runtime.workers import workers_that_fit


@pytest.mark.parametrize(
    ("cores", "limits", "workers"),
    [
        (8, ("max 100000", "max"), 8),
        (8, ("350000 100000", "max"), 4),
        (8, ("max 100000", "2147483648"), 5),
        (8, ("max 100000", "536870912"), 1),
        (8, ("50000 100000", "max"), 1),
        (100, ("max 100000", "max"), 64),
        (2, ("max 100000", "68719476736"), 2),
    ],
)
def test_as_many_workers_as_cores_and_memory_allow(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cores: int, limits: tuple[str, str], workers: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)
    for name, limit in zip(("cpu.max", "memory.max"), limits, strict=True):
        (tmp_path / name).write_text(f"{limit}\n")
    assert workers_that_fit(tmp_path) == workers


def test_outside_a_container_the_cores_count(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2}, raising=False)
    assert workers_that_fit(tmp_path) == 3


def test_without_a_setting_there_is_one_process_and_no_supervisor() -> None:
    assert Settings(_env_file=None).api_workers is None
    assert Settings(_env_file=None, api_workers="auto").api_workers == workers_that_fit()


@pytest.mark.parametrize("wrong", ["0", "65", "many", "-1"])
def test_a_number_that_does_not_fit_is_refused(monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    monkeypatch.setenv("API_WORKERS", wrong)
    with pytest.raises(SettingsError, match=r"^API_WORKERS is not valid"):
        load_settings()
