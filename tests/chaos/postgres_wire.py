"""The parts of Postgres's protocol that a proxy needs: ends of messages, statements, commits."""

from __future__ import annotations

from typing import Final

_STARTUP_HEADER: Final = 4
_HEADER: Final = 5
_ENDS_STATEMENT: Final = frozenset({b"Q", b"S"})
_APPENDS: Final = b"tasklog.append"


class Frontend:
    """What a client sends: `feed` cuts it into pieces, each up to the end of a statement."""

    def __init__(self) -> None:
        self._buffer = b""
        self._piece = b""
        self._started = False
        self._appends: set[bytes] = set()
        self._commits = False

    def feed(self, data: bytes) -> list[tuple[bytes, bool, bool]]:
        """Return pieces to pass on: (bytes, whether they end a statement, whether that statement commits a change)."""
        self._buffer += data
        pieces = []
        while message := self._next():
            self._piece += message
            if self._started and message[:1] in _ENDS_STATEMENT:
                pieces.append((self._piece, True, self._commits))
                self._piece, self._commits = b"", False
        if self._piece and not self._buffer:
            pieces.append((self._piece, False, False))
            self._piece = b""
        return pieces

    def _next(self) -> bytes:
        header = _HEADER if self._started else _STARTUP_HEADER
        if len(self._buffer) < header:
            return b""
        length = int.from_bytes(self._buffer[header - 4 : header]) + header - 4
        if len(self._buffer) < length:
            return b""
        message, self._buffer = self._buffer[:length], self._buffer[length:]
        if self._started:
            self._look(message)
        elif message[4:8] == b"\x00\x03\x00\x00":
            self._started = True
        return message

    def _look(self, message: bytes) -> None:
        kind, content = message[:1], message[_HEADER:]
        if kind == b"P":
            name, query, _ = content.split(b"\0", 2)
            (self._appends.add if _APPENDS in query else self._appends.discard)(name)
        elif kind == b"B":
            self._commits |= content.split(b"\0", 2)[1] in self._appends
        elif kind == b"Q":
            self._commits |= content.startswith(b"COMMIT")


class ReadyWatch:
    """Finds the server's ReadyForQuery, which ends a statement and its commit."""

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> bool:
        self._buffer += data
        while len(self._buffer) >= _HEADER:
            length = int.from_bytes(self._buffer[1:_HEADER]) + 1
            if self._buffer[:1] == b"Z":
                return True
            if len(self._buffer) < length:
                return False
            self._buffer = self._buffer[length:]
        return False
