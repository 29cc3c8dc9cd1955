"""The text that the commands print."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


def fault_text(fault: Mapping[str, Any]) -> str:
    """Return a fault as one line."""
    if fault["user_id"] is None:
        return f"FAULT {fault['reason']}"
    if fault["position"] is None:
        return f"FAULT {fault['user_id']}: {fault['reason']}"
    return f"FAULT {fault['user_id']}, position {fault['position']}: {fault['reason']}"


def report_text(report: Mapping[str, Any]) -> str:
    """Return the faults, then what was checked."""
    faults, seconds = report["faults"], report["seconds"]
    checked = f"{count(report['events'], 'event')} in {count(report['streams'], 'stream')}"
    if report["tasks"]:
        checked += f" and {count(report['tasks'], 'task')}"
    if report["anchors"] is not None:
        checked += f" against {count(report['anchors'], 'anchor')}"
    of_users = len({fault["user_id"] for fault in faults if fault["user_id"] is not None})
    of_schema = sum(fault["user_id"] is None for fault in faults)
    found = [f"{count(of_users, 'user')} with faults"] if of_users else []
    found += [f"{count(of_schema, 'fault')} of the schema"] if of_schema else []
    verdict = f"{' and '.join(found)}." if found else "No faults."
    lines = [*map(fault_text, faults), f"Checked {checked} in {seconds:.1f} s. {verdict}"]
    return "\n".join([*lines, *behind_lines(report["behind"]), *_format_lines(report["other_formats"])])


def behind_lines(events: int) -> list[str]:
    """Return a line if some events are not projected yet, otherwise no line."""
    verb = "is" if events == 1 else "are"
    return [f"{count(events, 'event')} {verb} not projected yet: a projector turns them into tasks."] if events else []


def _format_lines(users: int) -> list[str]:
    """Return a line if rows are in another version's format, else nothing."""
    if not users:
        return []
    whose = f"The tasks of {count(users, 'user')} are stored in another version's format"
    return [f"{whose}: they are read from the events until idle projectors have rebuilt them."]


def count(number: int, noun: str) -> str:
    """Return a number with its noun: `1 event`, `2 events`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def history_text(history: Mapping[str, Any]) -> str:
    """Return a page of a history as text, one line per event and per change."""
    lines = [line for event in history["events"] for line in _event_lines(event)]
    head = history["head"]
    lines.append(f"The stream ends at position {head['position']}, hash {head['hash']}.")
    if history["next"] is not None:
        lines.append(f"There may be more: --after {history['next']}")
    return "\n".join(lines)


def _event_lines(event: Mapping[str, Any]) -> Iterator[str]:
    task = "" if event["task_id"] is None else f" task {event['task_id']}"
    yield f"{event['position']:>6}  {event['recorded_at']}  {event['type']}{task}  by {who_text(event)}"
    for change in event["changes"]:
        yield f"        {change['field']}: {value_text(change['from'])} -> {value_text(change['to'])}"


def who_text(event: Mapping[str, Any]) -> str:
    """Return who is behind an event, with the request, and what it took back."""
    who = "(erased)" if event["erased"] else f"{event['actor']}, request {event['request_id']}"
    return who if event["undoes"] is None else f"{who}, undoes {event['undoes']}"


def value_text(value: object) -> str:
    """Return a value of a field as text."""
    return {None: "-", True: "yes", False: "no"}[value] if value is None or isinstance(value, bool) else repr(value)


def tasks_text(user: str, position: int, tasks: Sequence[Mapping[str, Any]]) -> str:
    """Return tasks as text, one line each."""
    lines = [f"{user} at position {position}: {count(len(tasks), 'task')}"]
    for task in tasks:
        mark = "x" if task["completed"] else " "
        description = "" if task["description"] is None else f": {task['description']!r}"
        lines.append(f"  [{mark}] {task['id']} {task['title']!r}{description}")
    return "\n".join(lines)
