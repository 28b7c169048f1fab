"""What is wrong with the data of a phase, told without reading it."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from codellama_jax.corpus import read_manifest
from codellama_jax.data.tasks import TASKS, mixture_rates, source_of
from codellama_jax.errors import UserError


def rates_of(mixture: str) -> dict[str, float]:
    """The tasks of a mixture, or of a task alone, with their shares.

    Raises:
      UserError: no such mixture or task.
    """
    mixtures = mixture_rates()
    if mixture not in mixtures and mixture not in TASKS:
        raise UserError(f"no mixture or task {mixture!r}: there are {sorted([*mixtures, *TASKS])}")
    rates = mixtures.get(mixture, {mixture: 1.0})
    return {task: rate / sum(rates.values()) for task, rate in rates.items()}


def corpus_problems(corpus: str | Path, tasks: Iterable[str], split: str = "train") -> list[str]:
    """One line for each source of these tasks that the corpus lacks, and each kind of missing file.

    Raises:
      UserError: no corpus there.
    """
    sources = read_manifest(corpus)["sources"]
    problems = []
    for source in dict.fromkeys(map(source_of, tasks)):
        described = sources.get(source, {}).get(split)
        if not described or not described["documents"]:
            having = [name for name in sources if sources[name].get(split, {}).get("documents")]
            problems.append(
                f"the corpus {corpus} has no {split} documents of source {source!r}, only of"
                f" {', '.join(having) or 'none'}: prepare it from folders that hold some, or give"
                " a mixture without it (mixture_rates.overrides)"
            )
            continue
        folder = Path(corpus) / source
        shards = [folder / shard["file"] for shard in described["shards"]]
        if missing := [path for path in shards if not _holds_something(path)]:
            problems.append(
                f"{folder}: {len(missing)} of {len(shards)} shards are missing or empty, the first"
                f" is {missing[0].name}: copy them there or prepare the corpus anew"
            )
        problems += _lengths_problem(folder / f"{split}.lengths.npy", described["documents"])
    return problems


def _holds_something(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0


def _lengths_problem(path: Path, documents: int) -> list[str]:
    try:
        count = len(np.load(path, mmap_mode="r"))
    except (OSError, ValueError) as error:
        return [f"cannot read {path}: {str(error).splitlines()[0]}; prepare the corpus anew"]
    if count != documents:
        return [f"{path} counts {count} documents, the manifest {documents}: prepare anew"]
    return []
