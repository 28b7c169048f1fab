"""MultiPL-E (Cassano et al. 2022): HumanEval in other languages, 0-shot."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gin

from codellama_jax.evaluation.benchmarks.benchmark import Benchmark, Item, pass_metrics
from codellama_jax.evaluation.records import given, read_records
from codellama_jax.evaluation.sandbox import Limits, available
from codellama_jax.evaluation.sandbox.languages import JAVATUPLES
from codellama_jax.evaluation.verdicts import score_programs

TITLES = {
    "cpp": "C++",
    "java": "Java",
    "php": "PHP",
    "ts": "TypeScript",
    "cs": "C#",
    "sh": "Bash",
}


@gin.configurable
@dataclass(frozen=True)
class MultiplE(Benchmark):
    """One language of it.

    Attributes:
      language: key of TITLES.
      data: folder with humaneval-<language>.jsonl.
      wall_seconds: a program may run; the published harness gives it 15.
    """

    name: str = "multipl_e_cpp"
    language: str = "cpp"
    data: str | None = None
    wall_seconds: float = 15.0

    def unavailable(self) -> str | None:
        reason = available(self.language)
        if not reason and self.language == "java" and not Path(JAVATUPLES).exists():
            return "no javatuples on this machine: apt-get install libjavatuples-java"
        return reason

    def load(self) -> list[Item]:
        folder = given(self.data, "MultiplE.data", "folder of MultiPL-E's humaneval-*.jsonl")
        path = str(Path(folder, f"humaneval-{self.language}.jsonl"))
        fields = {"texts": ("name", "prompt", "tests"), "needed": ("stop_tokens",)}
        records = read_records(path, **fields, key="name")
        return [Item(r["name"], r["prompt"], record=r) for r in records]

    def stops_of(self, item: Item) -> Sequence[str]:
        return item.record["stop_tokens"]

    def score(self, items: Sequence[Item], completions: Sequence[Sequence[str]]) -> dict[str, Any]:
        programs = {
            item.task_id: [f"{item.prompt}{text}\n{item.record['tests']}" for text in samples]
            for item, samples in zip(items, completions)
        }
        limits = Limits(wall_seconds=self.wall_seconds, cpu_seconds=int(self.wall_seconds) + 1)
        scores = score_programs(programs, limits=limits, language=self.language)
        return {"metrics": pass_metrics(scores), **scores}
