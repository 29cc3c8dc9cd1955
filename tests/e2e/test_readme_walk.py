"""The walk of README.md works: its blocks run unchanged, in one shell, beside a running `./run`.

The output of each block is compared with what the README shows below it: numbers may differ, … matches anything. Only
the address is replaced, because the test uses a free port; DATA_DIR is in the environment of both.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from tests.e2e.all_in_one import RUN, StartRun
from tests.machine import go_without

README = RUN.with_name("README.md").read_text()
LIVE = (RUN.parent / "docs" / "live.md").read_text()
STEP = re.compile(r"^```sh\n(.*?)^```$(?:\n\n^```text\n(.*?)^```$)?", re.DOTALL | re.MULTILINE)
ADDRESS = "http://127.0.0.1:8000"
END_OF_STEP = "-- end of step --"


def steps(heading: str) -> list[tuple[str, str]]:
    """Return the commands of a section of README.md, each with the output that is shown below it."""
    _, _, rest = README.partition(f"\n## {heading}\n")
    return STEP.findall(rest.partition("\n## ")[0])


def walked(commands: str, env: dict[str, str], directory: Path) -> tuple[list[int], str]:
    """Return the status of each answer, which curl writes to stderr, and stdout, which is what a user sees."""
    (directory / ".curlrc").write_text('write-out = "%{stderr}%{http_code}\\n"\n')
    done = subprocess.run(
        ["/bin/sh"],
        input=commands,
        env={**env, "CURL_HOME": str(directory)},
        cwd=RUN.parent,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert re.fullmatch(r"(\d{3}\n)+", done.stderr), done.stderr
    return [int(line) for line in done.stderr.split()], done.stdout


def as_pattern(shown: str) -> str:
    """Return a pattern for an output, with any numbers, and anything in place of …."""
    return re.sub(r"\d+", r"\\d+", re.escape(shown)).replace("…", ".*")


def test_a_new_user_is_told_to_start_it_with_one_command(start_run: StartRun) -> None:
    ((command, shown),) = steps("Start")
    assert command == "./run\n"
    run = start_run()
    run.wait_until_ready()
    first_line, _, *last_lines = shown.splitlines()
    for line in (first_line, *last_lines):
        assert re.search(as_pattern(line).replace(r"\.data", ".*"), run.printed())


def test_the_walk_of_the_readme_shows_what_it_says(start_run: StartRun, tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        go_without("curl", "the README's walk calls it")
    walk = steps("A walk")
    run = start_run()
    url = run.wait_until_ready()
    live = [(command, shown) for command, shown in STEP.findall(LIVE)]
    script = "".join(f"{command}echo '{END_OF_STEP}'\n" for command, _ in walk + live)
    script = script.replace("curl -N", "curl -s -N --max-time 6").replace("wait=30", "wait=1")
    statuses, printed = walked(script.replace(ADDRESS, url), run.env, tmp_path)

    assert statuses == [201, 200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 404, 401, 403, 422, 200, 200, 200]
    shown_errors = [int(status) for _, shown in walk for status in re.findall(r'"status":(\d{3})', shown)]
    assert shown_errors == [status for status in statuses if status >= 400]
    *outputs, stream, changes = printed.split(f"{END_OF_STEP}\n")[:-1]
    assert re.match(r'id: (\S+)\ndata: \{"token":"\1","position":\d+,"more":false,"tasks":\[', stream)
    assert re.fullmatch(as_pattern(live[1][1]), changes)
    for (command, shown), output in zip(walk, outputs, strict=True):
        assert re.fullmatch(as_pattern(shown), output), f"{command}shows\n{shown}but prints\n{output}"
