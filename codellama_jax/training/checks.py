"""What would stop a run, found before it starts, without a device and without reading a tensor."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gin

from codellama_jax.data import RowStream, corpus_problems, corpus_vocabulary, rates_of
from codellama_jax.errors import UserError
from codellama_jax.model import LlamaConfig
from codellama_jax.training.entering import check_model, check_tokenizer, check_vocabulary
from codellama_jax.training.lineage import check_settings
from codellama_jax.training.phase import Phase
from codellama_jax.weights import FOLDER, check_files, latest_step, open_origin, read_record


class Problems:
    """Lines about what is wrong, each told once.

    Attributes:
      lines: them, in the order in which they were met.
    """

    def __init__(self):
        self.lines: list[str] = []

    def met(self, check: Callable[..., Any], *arguments: Any) -> Any:
        """What a check returns, or None when it raises UserError, which is noted."""
        try:
            return check(*arguments)
        except UserError as error:
            self.note(str(error))
            return None

    def note(self, *lines: str) -> None:
        """Adds lines."""
        self.lines += [line for line in lines if line not in self.lines]


def check_data(phase: Phase, config: LlamaConfig | None, problems: Problems) -> None:
    """Mixture, corpus, its files, and its tokenizer against the model."""
    rates = problems.met(rates_of, phase.mixture)
    corpus = gin.get_bindings(RowStream).get("corpus")
    if corpus is None:
        problems.note("no corpus is named: set RowStream.corpus")
        return
    vocabulary = problems.met(corpus_vocabulary, corpus)
    if vocabulary and rates:
        problems.note(*problems.met(corpus_problems, corpus, rates) or ())
        if config:
            problems.met(check_vocabulary, phase, vocabulary, list(rates), config.vocab_size)


def check_start(
    phase: Phase, config: LlamaConfig, parent_config: LlamaConfig | None, problems: Problems
) -> None:
    """The weights a phase starts from, by their headers, against its model and its corpus."""
    if phase.parent:
        if parent_config:
            problems.met(check_model, phase, phase.parent, parent_config, config)
        return
    if phase.initial_weights is None:
        return
    origin = problems.met(open_origin, phase.initial_weights)
    if origin is None:
        return
    problems.met(check_files, origin)
    problems.met(check_model, phase, phase.initial_weights, origin.config, config)
    corpus = gin.get_bindings(RowStream).get("corpus")
    try:
        vocabulary = corpus_vocabulary(corpus)
    except (UserError, TypeError):
        return  # told by check_data
    problems.met(check_tokenizer, origin, vocabulary)


def progress_of(
    phase: Phase, config: LlamaConfig | None, seed: int, folder: Path, problems: Problems
) -> int:
    """The step a phase would continue from; its checkpoint must have been begun like this."""
    if not (folder / FOLDER).is_dir() or not any((folder / FOLDER).iterdir()):
        return 0
    step = problems.met(latest_step, folder)
    record = problems.met(read_record, folder) if step is not None else None
    if record and config:
        problems.met(check_settings, record, phase, config, seed, folder)
    return step or 0


def check_room(run_dir: Path, needed: int, problems: Problems) -> None:
    """The run's folder can be written, and has room for `needed` bytes."""
    place = run_dir.absolute()
    while not place.exists():
        place = place.parent
    if not place.is_dir():
        problems.note(f"{place} is no folder: set another train.run_dir")
    elif not os.access(place, os.W_OK | os.X_OK):
        problems.note(f"{place} cannot be written: change its permissions or set train.run_dir")
    elif (free := shutil.disk_usage(place).free) < needed:
        problems.note(
            f"{place} has {free / 1e9:,.1f} GB left, the checkpoints of the run need"
            f" {needed / 1e9:,.1f} GB: make room or set another train.run_dir"
        )
