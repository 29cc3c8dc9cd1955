"""What compose.yaml promises about confinement, without starting it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from runtime.settings import Settings

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "compose.yaml").read_text()
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(TEXT)["services"]
OWN_URL = {
    "migrate": {"DATABASE_URL", "COMMAND_DATABASE_URL", "PROJECTOR_DATABASE_URL", "READ_DATABASE_URL"},
    "command_api": {"COMMAND_DATABASE_URL"},
    "read_api": {"READ_DATABASE_URL"},
    "projector": {"PROJECTOR_DATABASE_URL"},
}
every_service = pytest.mark.parametrize("name", SERVICES)


@every_service
def test_a_service_writes_nowhere_gains_nothing_and_heals(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["restart"] == ("no" if name == "migrate" else "unless-stopped")
    assert name == "migrate" or service["healthcheck"]["test"][0] == "CMD"


@every_service
def test_a_service_is_not_root_unless_its_entry_point_gives_that_up_itself(name: str) -> None:
    of_the_image = re.search(r"^USER (\d+):\d+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert of_the_image is not None
    user = of_the_image[1] if SERVICES[name]["image"].startswith("tasklog:") else SERVICES[name].get("user", "0")
    assert int(user.split(":")[0]) > 0 or name == "postgres"


@every_service
def test_only_the_gateway_is_reached_from_outside_and_only_from_this_machine(name: str) -> None:
    published = SERVICES[name].get("ports", [])
    assert [port.split(":")[0] for port in published] == (["127.0.0.1"] if name == "gateway" else [])


@every_service
def test_a_service_has_a_limit_of_memory_above_what_it_takes_at_most(name: str) -> None:
    """Ours stay under 400 MB, see docs/operate/capacity.md; Postgres has its shared buffers and 32 sessions."""
    limit = SERVICES[name]["mem_limit"]
    megabytes = int(limit[:-1]) * {"m": 1, "g": 1024}[limit[-1]]
    apis = {"command_api": 1700, "read_api": 1700}  # four workers and their supervisor
    least = ({"postgres": 1024, "valkey": 128, "gateway": 128} | apis).get(name, 512)
    assert least <= megabytes <= 2 * least


@every_service
def test_a_service_knows_its_own_database_login_and_no_other(name: str) -> None:
    environment = SERVICES[name].get("environment", {})
    assert {setting for setting in environment if setting.endswith("DATABASE_URL")} == OWN_URL.get(name, set())
    assert ("${POSTGRES_PASSWORD" in str(environment)) == (name in {"migrate", "postgres"})


def test_whatever_stands_in_env_for_an_api_reaches_it() -> None:
    """All but database addresses, what only commands need, and what has no meaning here: embedded servers, a pooler."""
    nothing = {"DATA_DIR", "DATABASE_POOLER", "ALLOW_SUPERUSER", "PROJECTOR_WORKERS", "TASK_IDS", "CELLS"}
    settings = {name.upper() for name in Settings.model_fields if not name.endswith("database_url")} - nothing
    for name in ("command_api", "read_api"):
        environment = SERVICES[name]["environment"]
        assert settings <= set(environment)
        fixed = {setting for setting in settings if f"${{{setting}" not in environment[setting]}
        assert fixed == {"ENVIRONMENT", "API_HOST", "API_PORT", "ADMIN_HOST", "ADMIN_PORT", "REDIS_URL"}


def test_links_of_the_console_name_the_port_that_the_gateway_has_outside() -> None:
    (published,) = SERVICES["gateway"]["ports"]
    assert published == "127.0.0.1:${API_PORT:-8000}:8000"
    link = SERVICES["command_api"]["environment"]["CONSOLE_URL"]
    assert link == "${CONSOLE_URL:-http://127.0.0.1:${API_PORT:-8000}}"


def test_each_process_has_an_admin_port_that_only_compose_s_networks_reach() -> None:
    for name in ("command_api", "read_api", "projector"):
        environment = SERVICES[name]["environment"]
        assert (environment["ADMIN_HOST"], environment["ADMIN_PORT"]) == ("0.0.0.0", "9100")
        assert "ports" not in SERVICES[name]
    assert "9100" not in (ROOT / "Caddyfile").read_text()


def test_the_commands_of_operators_run_in_migrate() -> None:
    """The service has the owner's and each service's database, and the queue of jobs."""
    assert SERVICES["migrate"]["environment"]["REDIS_URL"] == SERVICES["projector"]["environment"]["REDIS_URL"]
    assert SERVICES["migrate"]["networks"] == SERVICES["projector"]["networks"]


def test_the_line_at_the_head_makes_every_secret_that_is_required(tmp_path: Path) -> None:
    line = re.search(r"^# +(\(umask .+>>\.env\))$", TEXT, re.MULTILINE)
    assert line is not None
    subprocess.run(["/bin/sh", "-c", line[1]], cwd=tmp_path, check=True)
    made = dict(secret.split("=") for secret in (tmp_path / ".env").read_text().splitlines())
    assert set(made) == set(re.findall(r"\$\{([A-Z_]+):?\?", TEXT))
    assert all(re.fullmatch(r"[0-9a-f]{48}", secret) for secret in made.values())
    assert len(set(made.values())) == len(made)
    assert (tmp_path / ".env").stat().st_mode & 0o077 == 0
