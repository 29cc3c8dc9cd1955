"""What a service's process imports, which is most of its memory."""

from __future__ import annotations

import subprocess
import sys

HEAVY = (
    *("fastapi", "opentelemetry", "cryptography", "httpx", "rich", "pygments"),
    *("sqlalchemy", "alembic", "prometheus_client"),
)

TRIED = """
import sys
from runtime.lean_imports import import_lean
import_lean()
import tasklog.serving.gateway, tasklog.serving.server, tasklog.admin.opened, projector.worker
from runtime import logs
print(*sorted({name.partition(".")[0] for name in sys.modules}))
import tokens.jwks, jwt.algorithms
print(jwt.algorithms.has_crypto)
"""


def test_services_without_jwks_import_no_heavy_library_and_the_keys_of_jwks_can_be_read_all_the_same() -> None:
    """Seen to fail: without `_without`, and with PyJWT left as redis imported it."""
    done = subprocess.run([sys.executable, "-c", TRIED], capture_output=True, text=True, timeout=60, check=True)
    imported, has_crypto = done.stdout.splitlines()
    assert {"tokens", "redis", "structlog"} <= set(imported.split())
    assert set(imported.split()).isdisjoint(HEAVY)
    assert has_crypto == "True"
