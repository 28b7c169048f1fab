"""Settings of a corpus that is made from record files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import gin

from codellama_jax.corpus.collect import CollectSettings
from codellama_jax.corpus.decontaminate import DecontaminateSettings
from codellama_jax.corpus.deduplicate import DeduplicateSettings
from codellama_jax.corpus.filters import FilterSettings
from codellama_jax.corpus.shards import ShardSettings
from codellama_jax.corpus.tokenizer import TokenizerSettings


@gin.configurable(module="corpus")
@dataclass(frozen=True)
class RecordSettings:
    """How a record is read. Of several field names the first that a record has is taken.

    Attributes:
      text_fields, path_fields, repository_fields, language_fields, license_fields: those of The
        Stack first, then what other collections use.
      chat_fields: those of the layouts that files/chats.py knows.
      licenses: SPDX names that are allowed, upper or lower case; every licence that a record
        states must be among them, and "unknown" allows records that state none. None allows all.
      max_record_bytes: longer lines, and rows with longer values, are set aside unread.
      tfds_data_dir: where TFDS keeps its data sets; None for its own default.
    """

    text_fields: Sequence[str] = ("content", "text")
    path_fields: Sequence[str] = ("max_stars_repo_path", "path")
    repository_fields: Sequence[str] = ("max_stars_repo_name", "repo_name")
    language_fields: Sequence[str] = ("lang", "language")
    license_fields: Sequence[str] = ("max_stars_repo_licenses", "license", "licenses", "licence")
    chat_fields: Sequence[str] = (
        "messages", "conversations", "instruction", "input", "output", "system", "tests"
    )  # fmt: skip
    licenses: Sequence[str] | None = None
    max_record_bytes: int = 16_000_000
    tfds_data_dir: str | None = None


@gin.configurable(module="corpus")
@dataclass(frozen=True)
class TaskSettings:
    """How the work is cut.

    Attributes:
      tasks: the inputs are dealt out to at most so many tasks, each of which is done again when
        it was interrupted. The order of the documents depends on it; below 1,000, as a stage opens
        a file of each task at once.
      task_bytes: of input a task has at least, as far as there are as many.
      directory_files: files of a plain directory that make one input.
      band_recall: chance that a pair at the threshold of similarity is compared at all; the
        signature is cut into bands for it. Pairs are compared by their whole signatures.
    """

    tasks: int = 256
    task_bytes: int = 16_000_000
    directory_files: int = 2000
    band_recall: float = 0.97


@dataclass(frozen=True)
class FilesSettings:
    """Everything that decides what is in the corpus."""

    records: RecordSettings = field(default_factory=RecordSettings)
    tasks: TaskSettings = field(default_factory=TaskSettings)
    collect: CollectSettings = field(default_factory=CollectSettings)
    limits: FilterSettings = field(default_factory=FilterSettings)
    decontaminate: DecontaminateSettings = field(default_factory=DecontaminateSettings)
    signing: DeduplicateSettings = field(default_factory=DeduplicateSettings)
    tokenizer: TokenizerSettings = field(default_factory=TokenizerSettings)
    shards: ShardSettings = field(default_factory=ShardSettings)


@gin.configurable(module="corpus")
@dataclass(frozen=True)
class ExecutorSettings:
    """Where the tasks run; nothing in the corpus depends on it.

    Attributes:
      kind: "local" for the processes of this machine, "slurm", or "ray".
      options: more arguments of datatrove's SlurmPipelineExecutor or RayPipelineExecutor, such as
        {"time": "24:00:00", "partition": "cpu", "mem_per_cpu_gb": 4}.
      poll_seconds: between looks at whether Slurm is done.
    """

    kind: Literal["local", "slurm", "ray"] = "local"
    options: Mapping[str, Any] = field(default_factory=dict)
    poll_seconds: float = 30.0
