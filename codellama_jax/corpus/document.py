"""The records that travel through the pipeline."""

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file that may become a document; nothing of it has been read but its size.

    Attributes:
      file: where it is on this machine.
      path: its name in the corpus, relative to its root: "stdlib/json/decoder.py".
      size: bytes.
      package: the part of its root it belongs to, for the limit on what one may contribute.
      license: as its distribution's METADATA states it; None when unknown.
      regular: False for links and special files, which are never opened.
    """

    file: str
    path: str
    size: int
    source: str
    language: str
    package: str
    license: str | None
    regular: bool = True


@dataclass(slots=True)
class Document:
    """One text of the corpus.

    Attributes:
      parent: path of the document it was made from, whose side of the split it shares.
      messages: the turns of a dialogue; `text` is then their contents joined, for de-duplication.
      tests: assertions that the dialogue's function satisfies, from its doctests.
      sha256: hexadecimal digest of the text, set with `signature` when it is signed.
      signature: its MinHash values.
    """

    text: str
    path: str
    language: str
    source: str
    license: str | None = None
    parent: str | None = None
    messages: list[dict[str, str]] | None = None
    tests: list[str] = field(default_factory=list)
    sha256: str = ""
    signature: np.ndarray | None = None

    @property
    def size(self) -> int:
        """Bytes of its text in UTF-8; of a dialogue, of what is said in it."""
        if self.messages is not None:
            return sum(len(message["content"].encode()) for message in self.messages)
        return len(self.text.encode())

    def record(self) -> dict:
        """What is written to the shards."""
        if self.messages is not None:
            return {
                "messages": self.messages,
                "tests": self.tests,
                "path": self.path,
                "language": self.language,
                "source": self.source,
                "license": self.license,
            }
        return {
            "text": self.text,
            "path": self.path,
            "language": self.language,
            "source": self.source,
            "license": self.license,
        }


def printable(path: str) -> str:
    """A path with what is not valid in UTF-8 written as escapes."""
    return path.encode("utf-8", "backslashreplace").decode()
