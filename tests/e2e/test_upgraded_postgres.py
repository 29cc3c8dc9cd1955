"""A ledger that was begun with an older Postgres: `./run` says how to move it, and moved it answers as before."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import httpx
import pytest

from tasklog.embedded import embedded_postgres
from tasklog.embedded.binaries import find_postgres
from tests.e2e.all_in_one import RUN, START_SECONDS, STOP_SECONDS, Run, started_runs


def post_once(run: Run, url: str) -> httpx.Response:
    """Send a POST with the same idempotency key as before."""
    headers = {"Authorization": f"Bearer {run.token('alice')}", "Idempotency-Key": "once"}
    return httpx.post(f"{url}/api/alice/tasks", json={"title": "Milk"}, headers=headers, timeout=START_SECONDS)


def end(run: Run) -> None:
    run.process.send_signal(signal.SIGINT)
    assert run.wait_for_end(2 * STOP_SECONDS) == 0


@pytest.mark.slow
def test_a_repeated_post_makes_no_second_task_after_the_upgrade_and_its_receipt_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("PG_BIN", str(find_postgres(16)[0]))
        with embedded_postgres(tmp_path / "data"):
            pass
    with started_runs(tmp_path) as start:
        old = start()
        answer = post_once(old, old.wait_until_ready())
        assert answer.status_code == 201
        hint = "The data are of an older Postgres than 18: stop this, and ./run upgrade moves them to it.\n"
        assert hint in old.printed()
        end(old)

        done = subprocess.run([RUN, "upgrade"], env=old.env, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        kept = Path(old.env["DATA_DIR"]).resolve() / "postgres.16"
        assert done.stdout == (
            "Moved 1 event in 1 stream from Postgres 16 to 18: every row is the same. Verified: no faults.\n"
            f"The old data are in {kept}: delete that directory when you no longer need it.\n"
        )
        assert (kept / "PG_VERSION").exists()

        new = start()
        url = new.wait_until_ready()
        again = post_once(new, url)
        for name in ("Tasklog-Position", "Tasklog-Hash", "Location"):
            assert again.headers[name] == answer.headers[name]
        assert (again.status_code, again.json()) == (201, answer.json())
        headers = {"Authorization": f"Bearer {new.token('alice')}"}
        assert httpx.get(f"{url}/api/alice/tasks", headers=headers, timeout=START_SECONDS).json() == [answer.json()]
        assert "upgrade" not in new.printed()
        end(new)
