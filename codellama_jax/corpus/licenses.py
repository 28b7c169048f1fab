"""The licence of each installed distribution, as its METADATA states it."""

import os
from email.parser import HeaderParser
from email.policy import compat32

_MAX_LENGTH = 80  # some distributions put the whole licence text into the field


class Licenses:
    """Licence of a path under one root.

    Args:
      root: a directory with `*.dist-info` directories, or without.
      default: licence of what no distribution claims.
    """

    def __init__(self, root: str, default: str | None = None):
        self._default = default
        self._known: dict[str, str | None] = {}
        claims: dict[str, set[str | None]] = {}
        for name in sorted(os.listdir(root)):
            if not name.endswith(".dist-info"):
                continue
            directory = os.path.join(root, name)
            license_ = _stated_license(os.path.join(directory, "METADATA"))
            for prefix in {name, *_claimed(os.path.join(directory, "RECORD"))}:
                claims.setdefault(prefix, set()).add(license_)
        # A namespace that several distributions share has the licence they agree on, if any.
        self._known = {prefix: min(of) for prefix, of in claims.items() if len(of) == 1 and any(of)}

    def of(self, path: str) -> str | None:
        """Licence of a path relative to the root; None when unknown."""
        parts = path.split("/")
        for prefix in ("/".join(parts[:2]), parts[0]):
            if prefix in self._known:
                return self._known[prefix]
        return self._default


def _claimed(record: str) -> set[str]:
    """First one and first two components of every file a distribution installed."""
    prefixes = set()
    try:
        with open(record, encoding="utf-8", errors="replace") as stream:
            for line in stream:
                parts = line.split(",", 1)[0].split("/")
                prefixes.update((parts[0], "/".join(parts[:2])))
    except OSError:
        return set()
    return prefixes - {"..", ""}


def _stated_license(metadata: str) -> str | None:
    try:
        with open(metadata, encoding="utf-8", errors="replace") as stream:
            headers = HeaderParser(policy=compat32).parse(stream)
    except OSError:
        return None
    for field in ("License-Expression", "License"):
        value = str(headers.get(field, "")).strip()
        if value and value != "UNKNOWN" and len(value) <= _MAX_LENGTH and "\n" not in value:
            return value
    for classifier in headers.get_all("Classifier", []):
        if classifier.startswith("License :: ") and classifier != "License :: OSI Approved":
            return classifier.rpartition(" :: ")[2]
    return None
