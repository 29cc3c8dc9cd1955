"""Templates in the SQL functions: a part for each sort or each field is written once and repeated here.

    -- EACH sort
    IF sort = '{sort.name}' THEN ... ORDER BY {sort.order} ... END IF;
    -- END EACH

is repeated for each of the SORTS, with its attributes in place of the braces; `-- EACH indexed` for those with an
index, `-- EACH setter` for each of the SETTERS.
`{ROW_FORMAT}` stands for the format of this version's rows, `{PLAIN_FACETS}` for the facets of a plain task, and
`{PLAIN_END}` for how its JSON ends, which rows leave out of bodies of up to `{SHORT_BODY}` bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from event_log.setters import SETTERS
from read_model.body import PLAIN_END, SHORT_BODY
from read_model.formats import ROW_FORMAT
from read_model.keys import PLAIN_FACETS
from read_model.sorts import INDEXED, SORTS

_EACH: Final = re.compile(r"^ *-- EACH (\w+)\n(.*?)^ *-- END EACH\n", re.DOTALL | re.MULTILINE)
_CONSTANTS: Final = {
    "{ROW_FORMAT}": ROW_FORMAT,
    "{PLAIN_FACETS}": PLAIN_FACETS,
    "{PLAIN_END}": PLAIN_END.decode(),
    "{SHORT_BODY}": str(SHORT_BODY),
}
_ITEMS: Final[Mapping[str, Iterable[object]]] = {"sort": SORTS.values(), "indexed": INDEXED, "setter": SETTERS}


def statements(path: Path) -> str:
    """Return the statements of an SQL file, with its templates filled in."""
    text = path.read_text()
    for name, value in _CONSTANTS.items():
        text = text.replace(name, value)
    return _EACH.sub(lambda block: _repeated(block[1], block[2]), text)


def _repeated(name: str, text: str) -> str:
    return "".join(_filled(name, item, text) for item in _ITEMS[name])


def _filled(name: str, item: object, text: str) -> str:
    return re.sub(rf"\{{{name}\.(\w+)\}}", lambda place: str(getattr(item, place[1])), text)
