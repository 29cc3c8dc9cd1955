"""The benchmark's report: what it shows of each contender, which targets it judges, which sections it keeps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bench.find import Cost, Found
from bench.heavy import Beside, Light
from bench.measure import Figures, Round
from bench.report import Report, plain, rows
from bench.targets import TARGETS, judged
from bench.wal import records_bytes
from bench.works import WORKS
from bench.wrk import Measured

WORK = {work.name: work for work in WORKS}
FIGURES = Figures(
    rate=5000.0,
    p50=10.0,
    p95=20.0,
    p99=30.0,
    lost=0,
    changes=0.0,
    cpu={"api": 150.0, "projector": 20.0, "postgres": 80.0},
    wal=1234.4,
    memory=85.6,
)
PEER = replace(FIGURES, rate=2500.0, p99=60.0, cpu={"api": 400.0, "postgres": 100.0})
LIGHT = Light(requests=100, p50=4.0, p99=30.0, refused={})


def verdicts(figures: dict[str, Figures], work: str = "post") -> dict[tuple[str, str], tuple[str, str]]:
    return {(row[1], row[2]): (row[4], row[5]) for row in judged({work: figures})}


def test_each_contender_has_a_row_with_the_cpu_of_all_its_processes() -> None:
    first, second = rows(WORK["post"], {"fastify": PEER, "tasklog": FIGURES})
    assert first == (
        *("POST, 200 users", "fastify", "2,500", "10.0 / 20.0 / 60.0"),
        *("400", "", "100", "500", "1,234", "86"),
    )
    assert second[:3] == ("", "tasklog", "5,000")
    assert second[4:8] == ("150", "20", "80", "250")


def test_toggles_that_were_lost_and_changes_behind_a_read_stand_beside_the_contender() -> None:
    assert rows(WORK["toggle"], {"crud": replace(PEER, lost=7)})[0][1] == "crud (7 toggles lost)"
    assert rows(WORK["list-changing"], {"crud": replace(PEER, changes=0.94)})[0][1] == "crud (0.9 changes a read)"


def test_figures_are_the_medians_of_the_rounds_and_the_most_memory() -> None:
    seen = [
        Round(
            measured=Measured(requests=100, seconds=1, bytes=1, refused=0, broken=0, p50=n, p95=n, p99=n),
            cpu={"api": n},
            wal=n,
            memory=n,
            lost=1,
        )
        for n in (3.0, 1.0, 20.0)
    ]
    figures = Figures.of(seen)
    assert (figures.p99, figures.cpu, figures.wal, figures.memory, figures.lost) == (3.0, {"api": 3.0}, 3.0, 20.0, 3)


@pytest.mark.parametrize(("rate", "measured", "met"), [(2500.0, "2.00 ×", "met"), (5001.0, "1.00 ×", "missed")])
def test_so_many_times_the_answers_of_a_peer_meet_a_target_and_a_little_less_misses_it(
    rate: float, measured: str, met: str
) -> None:
    found = verdicts({"fastify": replace(PEER, rate=rate), "tasklog": FIGURES})
    assert found["answers/s", "fastify"] == (measured, met)


@pytest.mark.parametrize(("cpu", "met"), [(500.0, "met"), (400.0, "missed")])
def test_what_costs_is_judged_by_how_much_less_it_is_than_before(cpu: float, met: str) -> None:
    found = verdicts({"before": replace(FIGURES, cpu={"api": cpu}), "tasklog": FIGURES})
    assert found["CPU", "before"][1] == met
    assert found["WAL bytes", "before"] == ("1.00 ×", "missed")


def test_the_memory_under_all_works_is_judged_once_by_the_most_of_any() -> None:
    small = replace(FIGURES, memory=50.0)
    works = {"post": {"before": small, "tasklog": FIGURES}, "get": {"before": FIGURES, "tasklog": small}}
    (found,) = [row for row in judged(works) if row[1] == "API memory"]
    assert found == ("all", "API memory", "before", "≤ 1 ×", "1.00 ×", "met", "")


def test_only_what_was_measured_with_both_is_judged() -> None:
    assert judged({"post": {"tasklog": FIGURES}, "get": {"fastify": PEER}}) == []
    assert {row[2] for row in judged({"get": {"fastify": PEER, "tasklog": FIGURES}})} == {"fastify"}


def test_what_is_missed_has_a_way_to_it_and_what_is_met_has_none() -> None:
    works = {work: {"before": FIGURES, "crud": PEER, "fastify": PEER, "tasklog": FIGURES} for work in WORK}
    found = judged(works)
    assert {row[5] for row in found} == {"met", "missed"}
    assert all((row[6] != "") is (row[5] == "missed") for row in found)


def test_every_target_names_a_work_that_is_measured() -> None:
    assert {target.work for target in TARGETS} <= {*WORK, "all"}


def test_a_report_replaces_its_own_sections_of_a_file_and_drops_those_that_are_gone(tmp_path: Path) -> None:
    path = tmp_path / "RESULTS.md"
    path.write_text("# Old\n\n- old facts\n\n## Growth\n\nkept\n\n## Each work\n\nold\n\n## Gone section\n\nx\n")
    Report(facts=["new facts"] * 4, works=[(WORK["get"], {"tasklog": FIGURES})]).save(path)
    text = path.read_text()
    assert text.startswith("# Results of `./run bench`\n\n- new facts\n")
    assert "| GET one task | tasklog | 5,000 |" in text
    assert text.endswith("## Growth\n\nkept\n")
    assert "old" not in text
    assert "Gone section" not in text


def test_a_run_of_its_own_leaves_the_facts_and_the_works_of_a_file_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "RESULTS.md"
    path.write_text("# Old\n\n- old facts\n\n## Each work\n\nold\n")
    beside = Beside(kind="many", alone=[LIGHT], beside=[LIGHT], heavy={"GET 200": 5}, memory={"api": 90.0})
    Report(facts=["a day", "", "", "some rounds"], heavy=[beside]).save(path)
    text = path.read_text()
    assert text.startswith("# Old\n\n- old facts\n\n## Each work\n\nold\n\n## Light users beside heavy ones\n")
    assert "- a day\n- some rounds\n" in text
    assert "| 50,000 tasks | 4.0 / 30.0 | 4.0 / 30.0 | 1.00 × | met | 100 | 0 | GET 200: 5 | api 90 |" in text


@pytest.mark.parametrize(
    ("alone", "beside", "refused", "met"),
    [
        (30.0, 60.0, {}, "met"),
        (30.0, 61.0, {}, "missed"),
        (5.0, 40.0, {}, "met"),
        (150.0, 201.0, {}, "missed"),
        (30.0, 30.0, {"503": 1}, "missed"),
    ],
)
def test_light_users_beside_a_heavy_one_wait_twice_as_long_or_200_ms_at_most_and_are_not_refused(
    alone: float, beside: float, refused: dict[str, int], met: str
) -> None:
    lights = replace(LIGHT, p99=alone), replace(LIGHT, p99=beside, refused=refused)
    found = Beside(kind="all", alone=[lights[0]], beside=[lights[1]], heavy={}, memory={})
    assert found.row()[4] == met


@pytest.mark.parametrize(
    ("tasks", "cpu", "ratio", "met"),
    [(20, 1.30, "1.30 ×", "met"), (20, 1.31, "1.31 ×", "missed"), (1000, 1.5, "1.50 ×", "met")],
)
def test_a_list_with_filters_may_cost_so_many_times_the_plain_one(tasks: int, cpu: float, ratio: str, met: str) -> None:
    plain, cost = Cost(seconds=1.0, cpu=1.0, waited=0.0), Cost(seconds=9.0, cpu=cpu, waited=0.0)
    row = Found(tasks=tasks, query="q=a", cost=cost, plain=plain).row()
    assert (row[1], row[3], row[5]) == ("`q=a`", ratio, met)


@pytest.mark.parametrize(("waited", "met"), [(0.21, "met"), (0.19, "missed")])
def test_a_page_of_very_many_tasks_takes_less_than_100_ms_beside_waiting_for_a_core(waited: float, met: str) -> None:
    row = Found(tasks=50_000, query="q=a", cost=Cost(seconds=0.3, cpu=0.05, waited=waited)).row()
    assert (row[2], row[5]) == (f"300 ms, of which {1000 * waited:.0f} ms without a core", met)


def test_the_bytes_of_the_log_are_those_of_its_records_without_whole_pages() -> None:
    stats = (
        "Type    N      (%)   Record size   (%)   FPI size   (%)   Combined size   (%)\n"
        "Heap   10 ( 50.00)          600 ( 60.00)     8192 (100.00)        8792 ( 95.65)\n"
        "Total  20                  1000 [10.88%]     8192 [89.12%]        9192 [100%]\n"
    )
    assert records_bytes(stats) == 1000


def test_tables_are_columns_on_a_terminal() -> None:
    assert plain("text\n\n| a | b |\n| --- | --- |\n| long | c |\n") == "text\n\na     b\nlong  c\n"
