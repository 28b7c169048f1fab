"""Programs compiled for slices that are not here, once: what the compiler says is kept on disk."""

import dataclasses
import gzip
import json
from collections.abc import Mapping
from pathlib import Path

import jax
from jax.errors import JaxRuntimeError

from codellama_jax.errors import UserError
from codellama_jax.planning.host import Taken, measured
from codellama_jax.training.executables import key_of, save_executable

Options = Mapping[str, str]


@dataclasses.dataclass(frozen=True)
class Compiled:
    """What the compiler made of a program, for one device.

    Attributes:
      text: the program, optimised.
      memory: bytes: arguments, outputs, aliased (outputs in the place of arguments), temporaries,
        code, host, what is kept in the host's memory, and peak, the most that is held at once; with
        something on the host, which the compiler's figure would count, an upper bound of it.
      flops, bytes_accessed: as the compiler counts, which takes the body of a loop once.
      seconds: the compiler took.
      host_memory: bytes of this process at their highest while it ran.
      cached: it was compiled before.
    """

    text: str
    memory: Mapping[str, int]
    flops: float
    bytes_accessed: float
    seconds: float
    host_memory: int
    cached: bool = False


@dataclasses.dataclass(frozen=True)
class OutOfMemory:
    """The compiler's refusal of a program that does not fit.

    Attributes:
      message: all that it says.
      seconds, host_memory: as of `Compiled`.
      cached: it was refused before.
    """

    message: str
    seconds: float
    host_memory: int
    cached: bool = False


class Programs:
    """Compiles each program once.

    Args:
      folder: where answers are kept, by content: program, devices, versions, compiler options; None
        keeps none.
      executables: where to leave executables for the trainer, or None.
    """

    def __init__(self, folder: str | None, executables: str | None = None):
        self._folder = Path(folder) if folder else None
        self._executables = Path(executables) if executables else None

    def compiled(
        self,
        lowered: jax.stages.Lowered,
        about: Mapping[str, str],
        name: str,
        options: Options | None = None,
    ) -> Compiled | OutOfMemory:
        """The compiler's answer.

        Args:
          lowered: the program.
          about: its `identity`.
          name: of the phase.
          options: of the compiler, beside those that the program brings along.

        Raises:
          UserError: the compiler knows no such option.
        """
        options = dict(options or {})
        stored = self._path({**about, **options})
        done = (
            self._executables is None
            or (self._executables / f"{key_of(about)}.executable").is_file()
        )
        if stored and stored.is_file() and done:
            return _read(stored)
        try:
            with measured() as taken:
                compiled = lowered.compile(compiler_options=options)
        except JaxRuntimeError as error:
            if "No such compile option" in str(error):
                reason = " ".join(str(error).split())
                raise UserError(f"compiler_options.of_chip: {reason}") from error
            if "RESOURCE_EXHAUSTED" not in str(error):
                raise
            answer: Compiled | OutOfMemory = OutOfMemory(str(error), taken.seconds, taken.memory)
        else:
            answer = _answer(compiled, taken)
            if self._executables:
                save_executable(compiled, about, name, self._executables)
        if stored:
            _write(stored, answer)
        return answer

    def _path(self, about: Mapping[str, str]) -> Path | None:
        return self._folder and self._folder / f"{key_of(about)}.json.gz"


def _answer(compiled: jax.stages.Compiled, taken: Taken) -> Compiled:
    found, cost = compiled.memory_analysis(), compiled.cost_analysis()
    host = found.host_temp_size_in_bytes + found.host_argument_size_in_bytes
    held = found.argument_size_in_bytes + found.temp_size_in_bytes
    memory = {
        "arguments": found.argument_size_in_bytes,
        "outputs": found.output_size_in_bytes,
        "aliased": found.alias_size_in_bytes,
        "temporaries": found.temp_size_in_bytes,
        "code": found.generated_code_size_in_bytes,
        "peak": held + found.generated_code_size_in_bytes if host else found.peak_memory_in_bytes,
        "host": host,
    }
    return Compiled(
        text=compiled.as_text(),
        memory=memory,
        flops=cost.get("flops", 0.0),
        bytes_accessed=cost.get("bytes accessed", 0.0),
        seconds=taken.seconds,
        host_memory=taken.memory,
    )


def _write(path: Path, answer: Compiled | OutOfMemory) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    with gzip.open(partial, "wt", compresslevel=3) as file:
        json.dump(dataclasses.asdict(answer), file)
    partial.replace(path)


def _read(path: Path) -> Compiled | OutOfMemory:
    try:
        with gzip.open(path, "rt") as file:
            stored = json.load(file)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is damaged, delete it: {error}") from error
    kind = OutOfMemory if "message" in stored else Compiled
    return kind(**{**stored, "cached": True})
