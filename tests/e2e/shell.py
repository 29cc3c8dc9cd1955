"""A shell that runs the commands of operators and auditors as a script does: as processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.servers import Database


@dataclass(frozen=True, kw_only=True)
class Shell:
    """Where commands are run."""

    directory: Path
    database: Database
    redis_url: str

    def start(
        self, *command: object, database: Database | None = None, stdout: Any = subprocess.PIPE, **env: str
    ) -> subprocess.Popen[str]:
        settings = {
            "DATABASE_URL": (database or self.database).owner,
            "REDIS_URL": self.redis_url,
            "DATA_DIR": str(self.directory / "data"),
        }
        return subprocess.Popen(
            [sys.executable, "-m", "tasklog", *map(str, command)],
            env={**os.environ, **settings, **env},
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            stdin=subprocess.DEVNULL,
        )

    def run(self, *command: object, **options: Any) -> subprocess.CompletedProcess[str]:
        with self.start(*command, **options) as process:
            output, errors = process.communicate()
        return subprocess.CompletedProcess(process.args, process.returncode, output, errors)

    def json(self, *command: object, code: int = 0, database: Database | None = None) -> Any:
        """Return the one JSON document on stdout; stderr must be empty unless the command failed."""
        done = self.run(*command, "--json", database=database)
        assert done.returncode == code, done.stderr
        return json.loads(done.stdout)
