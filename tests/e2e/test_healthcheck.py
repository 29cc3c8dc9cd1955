"""The health checks of compose.yaml's containers, as a container runtime runs them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.admin import unreachable, watched
from tests.machine import free_port
from tests.servers import Database, RunningService, Servers, eventually

BEHIND = "UPDATE tasklog.streams SET unprojected_since = now() - interval '31 s' WHERE user_id = 'slow'"
STREAM = """
    INSERT INTO tasklog.streams (user_id, head, hash, recorded_at) VALUES ('slow', 1, '', now())
"""


def check(what: str, **env: str) -> tuple[int, str]:
    """Return the exit code of a check, and its output."""
    kept = {name: value for name, value in os.environ.items() if not name.endswith("_URL")}
    command = [sys.executable, "-m", "tasklog", "healthcheck", what]
    done = subprocess.run(command, env=kept | env, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, (done.stdout + done.stderr).strip()


def test_an_api_is_healthy_while_it_answers(shared_service: RunningService) -> None:
    port = shared_service.url.rpartition(":")[2]
    assert check("api", API_PORT=port) == (0, "healthy")
    closed = str(free_port())
    assert check("api", API_PORT=closed) == (1, f"/health on port {closed} does not answer (ConnectionRefusedError).")


def test_with_an_admin_port_a_process_is_healthy_while_it_is_ready(servers: Servers, tmp_path: Path) -> None:
    with watched(servers, tmp_path) as running:
        port = running.projector.rpartition(":")[2]
        assert check("projector", ADMIN_PORT=port) == (0, "healthy")
        assert check("api", ADMIN_PORT=running.gateway.rpartition(":")[2]) == (0, "healthy")
        with unreachable(servers, running.database):
            said = eventually(lambda: unhealthy("projector", ADMIN_PORT=port))
        assert said.startswith("The database of the projector cannot be used: ")
    code, said = check("projector", ADMIN_PORT=port)
    assert (code, said) == (1, f"/ready on port {port} does not answer (ConnectionRefusedError).")


def unhealthy(what: str, **env: str) -> str:
    """Return the reason that a check gives for a fault, or an empty text without a fault."""
    code, said = check(what, **env)
    return said if code else ""


def test_the_projector_is_healthy_while_no_event_waits_long(database: Database) -> None:
    assert check("projector", PROJECTOR_DATABASE_URL=database.projector) == (0, "healthy")
    database.execute(STREAM)
    database.execute(BEHIND)
    code, said = check("projector", PROJECTOR_DATABASE_URL=database.projector)
    assert (code, said) == (1, "An event has waited for more than 30 s for its projection.")
    nowhere = f"postgresql://nobody@127.0.0.1:{free_port()}/tasklog"
    code, said = check("projector", PROJECTOR_DATABASE_URL=nowhere)
    assert (code, said.startswith("The database of PROJECTOR_DATABASE_URL cannot be used")) == (1, True)
