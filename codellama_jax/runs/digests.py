"""Sizes and checksums of a checkpoint's files, so that a damaged one is recognised by name.

<phase>/checkpoints/<step>/digests/<process>.json   {"processes": P, "files": {path: [size, crc32]}}

After a checkpoint is committed each process writes down the files that it wrote (the first one also
those of no process), and reads nothing of the others'. A checkpoint is whole when all P of them are
there and every file is as it was.
"""

import json
import os
import re
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

_T = TypeVar("_T")
_FOLDER = "digests"
_SMALL = 1 << 20  # bytes: records and indices
_OWNER = re.compile(r"(?:^|/)ocdbt\.process_(\d+)/")


def write_digests(folder: Path, process: int = 0, processes: int = 1) -> None:
    """Writes the digests of one process's files in a committed checkpoint."""
    files = {
        path: [(folder / path).stat().st_size, _crc32(folder / path)]
        for path in _files(folder)
        if _owner(path, processes) == process
    }
    target = folder / _FOLDER / f"{process}.json"
    target.parent.mkdir(exist_ok=True)
    draft = target.with_suffix(".draft")
    draft.write_text(json.dumps({"processes": processes, "files": files}))
    os.replace(draft, target)


def is_complete(folder: Path) -> bool:
    """Whether all processes have finished writing; says nothing of the files' contents."""
    try:
        processes = json.loads((folder / _FOLDER / "0.json").read_text())["processes"]
        return all((folder / _FOLDER / f"{process}.json").exists() for process in range(processes))
    except (OSError, ValueError, TypeError, KeyError):
        return False


def damage(
    folder: Path,
    items: tuple[str, ...] = (),
    process: tuple[int, int] = (0, 1),
    contents: bool = True,
) -> str:
    """What is wrong with a checkpoint, in words; empty when nothing is.

    Args:
      folder: of the checkpoint's step.
      items: parts to look at, such as "params"; all without.
      process: this one and their number. Each looks at the files that it would have written, which
        it will mostly restore: they are in the system's memory then. The others look at the rest.
      contents: whether to read the large files, too, or only to ask for their sizes.
    """
    if not is_complete(folder):
        return f"{folder} was not written to its end"
    written: dict[str, list[int]] = {}
    for path in (folder / _FOLDER).glob("*.json"):
        try:
            written |= json.loads(path.read_text())["files"]
        except (OSError, ValueError, TypeError, KeyError):
            return f"{path} cannot be read"
    mine = {
        path: told
        for path, told in written.items()
        if (not items or path.split("/")[0] in items) and _owner(path, process[1]) == process[0]
    }
    # As many at a time as there are cores, the largest first, so that none is left for last.
    largest_first = sorted(mine, key=lambda path: -mine[path][0])
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as readers:
        lines = readers.map(
            lambda path: _damage_of(folder / path, *mine[path], contents), largest_first
        )
        return min(filter(None, lines), default="")


def read_beside(check: Callable[[], str], read: Callable[[], _T]) -> tuple[_T | None, str]:
    """What is read, and what was found out beside it: (it, "") or (None, what is wrong).

    Both need the same bytes, which come from the disk once. What a damaged file makes reading
    raise is not told, but what is wrong with the file.

    Args:
      check: says what is wrong with the files, "" for nothing; runs in a thread of its own.
      read: reads them; what it raises is raised where nothing is wrong.
    """
    with ThreadPoolExecutor(1) as beside:
        checked = beside.submit(check)
        try:
            found = read()
        except Exception:
            if checked.result():
                return None, checked.result()
            raise
        return (None, checked.result()) if checked.result() else (found, "")


def _damage_of(path: Path, size: int, checksum: int, contents: bool) -> str:
    try:
        found = path.stat().st_size
        if found != size:
            return f"{path} has {found:,} bytes instead of {size:,}"
        if (contents or size < _SMALL) and _crc32(path) != checksum:
            return f"{path} is not what was written (its checksum differs)"
    except OSError as error:
        return f"{path}: {error.strerror}"
    return ""


def _files(folder: Path) -> Iterator[str]:
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and not name.startswith(f"{_FOLDER}/"):
            yield name


def _owner(path: str, processes: int) -> int:
    found = _OWNER.search(path)
    return int(found[1]) % processes if found else 0


def _crc32(path: Path, block: int = 1 << 20) -> int:
    checksum, piece = 0, memoryview(bytearray(block))
    with path.open("rb", buffering=0) as file:
        while length := file.readinto(piece):
            checksum = zlib.crc32(piece[:length], checksum)
    return checksum
