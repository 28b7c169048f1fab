"""Commands that are run, or only shown."""

import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from codellama_jax.errors import UserError

INSTALL = {
    "gcloud": "https://cloud.google.com/sdk/docs/install",
    "sky": "pip install 'skypilot[gcp]', in an environment of its own",
    "xpk": "pip install xpk, in an environment of its own",
    "sbatch": "Slurm's commands are on its login nodes",
}

ANSWER_SECONDS = 120


class CommandFailed(Exception):
    """A tool ended with a failure that it has told of itself."""

    def __init__(self, words: Sequence[str], code: int):
        super().__init__(f"{' '.join(words[:3])} … ended with code {code}; it says why above")
        self.code = code if 0 < code < 128 else 1


class Answer(NamedTuple):
    """What a command that was asked printed, its exit code, and the last line of its complaint."""

    code: int
    text: str
    complaint: str


class Shell:
    """Runs commands and writes files; on a dry run shows them instead, and every answer is empty.

    Args:
      dry: show them.
    """

    def __init__(self, dry: bool):
        self.dry = dry

    def say(self, text: str) -> None:
        """A line for people; on a dry run a heading."""
        print(f"# {text}" if self.dry else f"launch: {text}", flush=True)

    def run(self, words: Sequence[str]) -> None:
        """Runs a command, which prints what it likes.

        Raises:
          CommandFailed: it did.
        """
        if code := self.code_of(words):
            raise CommandFailed(words, code)

    def code_of(self, words: Sequence[str]) -> int:
        """Runs a command, which prints what it likes; its exit code."""
        if self._shown(words):
            return 0
        sys.stdout.flush()
        return _started(words).returncode

    def ask(self, words: Sequence[str]) -> Answer:
        """Runs a command for what it prints; it is asked nothing back, as nobody would see it.

        Raises:
          UserError: no answer within two minutes.
        """
        if self._shown(words):
            return Answer(0, "", "")
        try:
            done = _started(
                words, capture_output=True, stdin=subprocess.DEVNULL, timeout=ANSWER_SECONDS
            )
        except subprocess.TimeoutExpired as error:
            raise UserError(
                f"`{shlex.join(map(str, words))}` gives no answer: try it by hand; is there a"
                " network, and are you logged in?"
            ) from error
        complaints = done.stderr.strip().splitlines() or [""]
        return Answer(done.returncode, done.stdout.strip(), complaints[-1])

    def write(self, path: Path, text: str) -> None:
        """Writes a file."""
        if self.dry:
            print(f"# {path.name}:", *text.splitlines(), f"# end of {path.name}", sep="\n")
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def _shown(self, words: Sequence[str]) -> bool:
        if self.dry:
            print(f"$ {shlex.join(map(str, words))}")
        return self.dry


def _started(words: Sequence[str], **options: Any) -> subprocess.CompletedProcess:
    try:
        return subprocess.run(list(map(str, words)), text=True, errors="replace", **options)
    except FileNotFoundError as error:
        remedy = INSTALL.get(words[0], "install it")
        raise UserError(f"{words[0]} is not on the path: {remedy}") from error
