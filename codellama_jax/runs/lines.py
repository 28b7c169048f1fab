"""Files of JSON lines that a kill may cut short."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Objects of a file's lines; [] without the file. A line cut short by a kill is left out."""
    return parse_lines(path.read_text(errors="replace").splitlines()) if path.exists() else []


def parse_lines(lines: Iterable[str]) -> list[dict[str, Any]]:
    """The same of lines that were read."""
    parsed = []
    for text in lines:
        try:
            parsed.append(json.loads(text))
        except ValueError:
            continue
    return [line for line in parsed if isinstance(line, dict)]
