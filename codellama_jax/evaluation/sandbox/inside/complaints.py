"""What a command says on standard error."""

import os

KEPT_BYTES = 4096


class Complaints:
    """What a command writes to standard error: the first of it, and whether a text was in it."""

    def __init__(self, descriptor: int, failure: bytes):
        self.descriptor, self.failure = descriptor, failure
        self.text, self.last, self.failed = b"", b"", False
        os.set_blocking(descriptor, False)

    def drain(self) -> None:
        for _ in range(64):
            try:
                data = os.read(self.descriptor, 65536)
            except BlockingIOError:
                return
            if not data:
                return
            # A failure may be cut in two by the size of a read.
            joined = self.last + data
            self.failed = self.failed or (self.failure != b"" and self.failure in joined)
            self.last = joined[-64:]
            self.text += data[: KEPT_BYTES - len(self.text)]

    def line(self) -> str:
        """The line that says what is wrong, as well as can be told of any tool."""
        lines = [line.strip() for line in self.text.decode("utf-8", "replace").split("\n")]
        told = [line for line in lines if "rror" in line or "ssert" in line or "Fail" in line]
        return (told or [line for line in lines if line] or [""])[0]
