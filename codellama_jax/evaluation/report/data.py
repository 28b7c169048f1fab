"""What a report is about: the phases of a run, their measurements and their corpus, read once."""

import json
import statistics
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from codellama_jax.corpus import read_manifest
from codellama_jax.errors import UserError
from codellama_jax.evaluation.evaluate import FILE, trained_phases
from codellama_jax.runs import planned_phases, read_metrics
from codellama_jax.weights import config_of

COLORS = ("#2f5d8a", "#c0682b", "#3d7f5f", "#7d5a9b", "#a83f4b", "#2b8c96", "#8a7a24", "#b0568f")
CONTROL_COLORS = ("#777777", "#a3a3a3", "#4f4f4f")


@dataclass(frozen=True, eq=False)  # a phase is itself, and a key
class PhaseData:
    """A trained phase: its checkpoint's record, its training metrics, its evaluation or {}."""

    name: str
    record: dict[str, Any]
    metrics: list[dict[str, Any]]
    evaluation: dict[str, Any]
    color: str

    @property
    def lineage(self) -> list[dict[str, Any]]:
        """From the first ancestor to the phase itself."""
        return self.record["lineage"]

    @property
    def settings(self) -> dict[str, Any]:
        """The fields of its `Phase`."""
        return self.lineage[-1]["settings"]

    @property
    def parent(self) -> str | None:
        """Name of the phase it started from."""
        return self.settings["parent"]

    @property
    def control(self) -> bool:
        """Whether it was trained to be compared with another one."""
        return is_control(self.settings)

    @property
    def step(self) -> int:
        """Of the last checkpoint."""
        return self.record["data"]["step"]

    @property
    def complete(self) -> bool:
        """Whether that is the phase's last step."""
        return self.step >= self.settings["steps"]

    @property
    def tokens(self) -> int:
        """Positions trained on so far, ancestors not counted."""
        return self.step * self.settings["batch_size"] * self.settings["sequence_length"]

    @property
    def trained_length(self) -> int:
        """The longest sequence that it or an ancestor was trained on, in tokens."""
        return max(entry["settings"]["sequence_length"] for entry in self.lineage)

    @property
    def rates(self) -> dict[str, float]:
        """Share of each task in its mixture."""
        return self.record["data"].get("fingerprint", {}).get("rates", {})

    @cached_property
    def parameters(self) -> int:
        """Of the model."""
        return config_of(self.record).num_parameters

    @property
    def steps(self) -> list[dict[str, Any]]:
        """The metrics' lines with a loss, one a step."""
        return [line for line in self.metrics if "loss" in line]

    def median(self, key: str) -> float | None:
        """Median of what `Progress` measured now and then, such as tokens_per_second."""
        values = [line[key] for line in self.metrics if key in line]
        return statistics.median(values) if values else None

    def reads(self, source: str) -> bool:
        """Whether its mixture has a task on `source`, with infilling or without."""
        return bool({source, f"{source}_infill"} & set(self.rates))

    def reading(self, rope_base: float) -> dict[str, Any] | None:
        """Its loss by position under that rotary base, if measured."""
        for reading in self.evaluation.get("loss_by_position", []):
            if abs(reading["rope_base"] / rope_base - 1) < 1e-6:
                return reading
        return None


@dataclass(frozen=True)
class RunData:
    """A run: `phases` parents first; `untrained` settings of those planned but without checkpoint;
    `compression` per source; `manifest` of the corpus."""

    name: str
    directory: str
    corpus: str
    phases: dict[str, PhaseData]
    untrained: dict[str, dict[str, Any]]
    compression: dict[str, dict[str, float]]
    manifest: dict[str, Any]

    @property
    def evaluated(self) -> list[PhaseData]:
        """Phases with measurements."""
        return [phase for phase in self.phases.values() if phase.evaluation]

    @property
    def sources(self) -> list[str]:
        """Of held-out text that bits per byte were measured on, in the evaluation's order."""
        names = [s for phase in self.evaluated for s in phase.evaluation.get("bits_per_byte", {})]
        return list(dict.fromkeys(names))

    def missing(self) -> list[str]:
        """A sentence for each thing the report would show if it were there."""
        found = []
        for name in self.untrained:
            found.append(f"Phase {name} is not trained yet: run `codellama-jax train` again.")
        for phase in self.phases.values():
            steps = phase.settings["steps"]
            if not phase.complete:
                found.append(
                    f"Phase {phase.name} stands at step {phase.step:,} of {steps:,}:"
                    " run `codellama-jax train` again, it continues there."
                )
            if not phase.evaluation:
                found.append(
                    f"Phase {phase.name} is not evaluated: run `codellama-jax evaluate` again."
                )
            elif (measured := phase.evaluation.get("step", phase.step)) != phase.step:
                found.append(
                    f"Phase {phase.name} was evaluated at step {measured:,}, its checkpoint is at"
                    f" {phase.step:,} now: run `codellama-jax evaluate` again."
                )
        if not self.compression:
            found.append(
                "gzip and xz are not compared: the evaluation was interrupted before its end;"
                " run `codellama-jax evaluate` again."
            )
        return found


def gather(run_dir: str, corpus: str) -> RunData:
    """Reads a run and its corpus.

    Raises:
      UserError: no run, no phase of it evaluated, no corpus, or a file that cannot be read.
    """
    records = trained_phases(run_dir)
    manifest = read_manifest(corpus)
    whole = _read_json(Path(run_dir) / FILE)
    phases: dict[str, PhaseData] = {}
    colors, greys = (iter(palette * len(records)) for palette in (COLORS, CONTROL_COLORS))
    for name, record in records.items():
        folder = Path(run_dir) / name
        evaluation = _read_json(folder / FILE) or whole.get("phases", {}).get(name, {})
        settings = record["lineage"][-1]["settings"]
        color = next(greys if is_control(settings) else colors)
        phases[name] = PhaseData(name, record, read_metrics(folder), evaluation, color)
    if not any(phase.evaluation for phase in phases.values()):
        raise UserError(
            f"no phase of {run_dir} is evaluated: run `codellama-jax evaluate` with the same"
            " --gin_file first"
        )
    planned = planned_phases(list(records.values())[-1].get("operative_config", ""))
    untrained = {name: fields for name, fields in planned.items() if name not in phases}
    name = Path(run_dir).resolve().name
    compression = whole.get("compression", {})
    return RunData(name, str(run_dir), str(corpus), phases, untrained, compression, manifest)


def is_control(settings: dict[str, Any]) -> bool:
    """Whether a phase's purpose begins with the word control."""
    return settings.get("purpose", "").lower().startswith("control")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise UserError(
            f"cannot read {path} ({error}): delete it and run `codellama-jax evaluate` again"
        ) from error
    return value if isinstance(value, dict) else {}
