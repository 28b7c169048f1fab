"""What long context did: losses inside and beyond the trained length, and their differences."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from codellama_jax.evaluation.report.data import PhaseData, RunData
from codellama_jax.writing import number, scientific, signed

# Positions the parent was trained on; those behind; those behind what any child was trained on.
INSIDE, BEYOND, UNSEEN = "inside", "beyond", "unseen"
WITHIN = "within its standard error"


@dataclass(frozen=True)
class Reading:
    """A phase's loss by position, read under a rotary base."""

    phase: PhaseData
    rope_base: float
    result: dict[str, Any]

    @property
    def own_base(self) -> bool:
        """Whether the base is the one the phase was trained with."""
        return abs(self.rope_base / self.phase.settings["rope_base"] - 1) < 1e-6

    @property
    def label(self) -> str:
        """For a legend."""
        base = f"base {scientific(self.rope_base)}"
        if self.own_base:
            return f"{self.phase.name}, {base}" + (" (control)" if self.phase.control else "")
        return f"{self.phase.name}, read with {base}"


@dataclass(frozen=True)
class Estimate:
    """A mean over documents in nats a token, and its standard error."""

    mean: float
    error: float


@dataclass(frozen=True)
class Contrast:
    """Loss under `after` minus loss under `before`; negative is better."""

    what: str
    before: Reading
    after: Reading
    differences: dict[str, Estimate]


@dataclass(frozen=True)
class Branch:
    """A phase and those that continued it on longer sequences, all read on the same documents.

    Attributes:
      length, longest: tokens that the parent was trained on, and the longest-trained of the others.
    """

    parent: PhaseData
    length: int
    longest: int
    readings: list[Reading]
    contrasts: list[Contrast]
    sentences: list[str]
    paired: bool

    @property
    def regions(self) -> dict[str, str]:
        """The measured regions and what to call them."""
        names = {INSIDE: f"up to {self.length:,}", BEYOND: f"beyond {self.length:,}"}
        if self.readings[0].result["positions"][-1] > self.longest:
            names[UNSEEN] = f"beyond {self.longest:,}"
        return names

    def estimates(self, reading: Reading) -> dict[str, Estimate]:
        """Mean loss of each region."""
        return {
            region: _estimate(reading.result, _span(region, self.length, self.longest))
            for region in self.regions
        }


def branches(run: RunData) -> list[Branch]:
    """A branch for each phase that has children on longer sequences, measured by position."""
    found = []
    for parent in run.phases.values():
        children = [
            phase
            for phase in run.phases.values()
            if phase.parent == parent.name
            and phase.settings["sequence_length"] > parent.trained_length
            and phase.evaluation.get("loss_by_position")
        ]
        if children:
            found.append(_branch(parent, children))
    return found


def _branch(parent: PhaseData, children: list[PhaseData]) -> Branch:
    length = parent.trained_length
    longest = max(child.trained_length for child in children)
    old = parent.settings["rope_base"]
    bases = list(dict.fromkeys([old, *(child.settings["rope_base"] for child in children)]))
    wanted = [(parent, base) for base in bases]
    wanted += [(child, child.settings["rope_base"]) for child in children]
    wanted += [(child, old) for child in children if child.settings["rope_base"] != old]
    readings = {
        (phase.name, base): Reading(phase, base, result)
        for phase, base in wanted
        if (result := phase.reading(base))
    }

    def own(phase: PhaseData) -> Reading | None:
        return readings.get((phase.name, phase.settings["rope_base"]))

    pairs = [
        (f"base {scientific(old)} → {scientific(base)}, no fine-tuning", own(parent), raised)
        for base in bases
        if base != old and (raised := readings.get((parent.name, base)))
    ]
    for child in children:
        change = scientific(child.settings["rope_base"])
        how = f"base {change}" if child.settings["rope_base"] != old else f"base still {change}"
        pairs.append((f"fine-tuning on long sequences, {how}", own(parent), own(child)))
    controls = [child for child in children if child.settings["rope_base"] == old]
    raised = [child for child in children if child.settings["rope_base"] != old]
    for control in controls:
        pairs += [("raised base, given fine-tuning", own(control), own(child)) for child in raised]
    for child in raised:
        pairs.append(
            ("fine-tuned, but read with the old base", own(child), readings.get((child.name, old)))
        )
    contrasts = [
        Contrast(what, before, after, _differences(before, after, length, longest))
        for what, before, after in pairs
        if before and after
    ]
    paired = all("document_loss" in reading.result for reading in readings.values())
    sentences = _sentences(parent, contrasts, length, longest, bool(controls))
    return Branch(parent, length, longest, list(readings.values()), contrasts, sentences, paired)


def _span(region: str, length: int, longest: int) -> tuple[float, float]:
    """First and last position of a region."""
    if region == INSIDE:
        return 0, length
    return (length if region == BEYOND else longest), np.inf


def _weights(result: dict[str, Any], span: tuple[float, float]) -> np.ndarray:
    """Positions of each measured span that lies wholly in the given one; they add to one."""
    ends = np.asarray(result["positions"])
    widths = np.diff(ends, prepend=0)
    within = (ends - widths >= span[0]) & (ends <= span[1])
    weights = np.where(within, widths, 0).astype(np.float64)
    return weights / weights.sum() if weights.any() else weights * np.nan


def _estimate(result: dict[str, Any], span: tuple[float, float]) -> Estimate:
    weights = _weights(result, span)
    if "document_loss" in result:
        return _mean(np.asarray(result["document_loss"]) @ weights)
    # Of spans of the same documents only the errors are known: their mean is an upper bound.
    errors = np.asarray(result["standard_error"], np.float64)
    return Estimate(float(np.asarray(result["loss"]) @ weights), float(errors @ weights))


def _differences(before: Reading, after: Reading, length: int, longest: int) -> dict[str, Estimate]:
    found = {}
    for region in (INSIDE, BEYOND, UNSEEN):
        span = _span(region, length, longest)
        weights = _weights(before.result, span)
        losses = [reading.result.get("document_loss") for reading in (before, after)]
        if all(losses) and np.shape(losses[0]) == np.shape(losses[1]):
            found[region] = _mean((np.asarray(losses[1]) - np.asarray(losses[0])) @ weights)
        else:
            a, b = (_estimate(reading.result, span) for reading in (before, after))
            found[region] = Estimate(b.mean - a.mean, float(np.hypot(a.error, b.error)))
    return found


def _mean(documents: np.ndarray) -> Estimate:
    error = documents.std(ddof=1) / len(documents) ** 0.5 if len(documents) > 1 else np.nan
    return Estimate(float(documents.mean()), float(error))


def verdict(difference: Estimate) -> str:
    """Whether a difference exceeds its standard error, in words."""
    if not difference.error > 0:
        return "its standard error is not known"
    ratio = abs(difference.mean) / difference.error
    if ratio <= 1:
        return WITHIN
    return f"{f'{ratio:.1f}' if ratio < 100 else 'over 100'} times its standard error"


def with_error(estimate: Estimate) -> str:
    """A signed difference with its standard error."""
    digits = 4 if estimate.error < 0.001 else 3
    return f"{signed(estimate.mean, digits)} ± {number(estimate.error, digits)}"


def _sentences(
    parent: PhaseData, contrasts: list[Contrast], length: int, longest: int, controlled: bool
) -> list[str]:
    """What the base does and what fine-tuning does, beyond the trained length."""
    where = f"beyond position {length:,}"
    said = []
    for contrast in contrasts:
        if contrast.what.endswith("no fine-tuning"):
            beyond = contrast.differences[BEYOND]
            said.append(
                f"Raising the base of {parent.name} to {scientific(contrast.after.rope_base)}"
                f" without fine-tuning changes its loss {where} by {with_error(beyond)} nats a"
                f" token ({verdict(beyond)})."
            )
    tuned = [c for c in contrasts if c.what.startswith("fine-tuning on long")]
    if tuned:
        parts = [
            f"{with_error(c.differences[BEYOND])} with base {scientific(c.after.rope_base)}"
            f" ({c.after.phase.name}{', the control' if c.after.phase.control else ''})"
            for c in tuned
        ]
        said.append(f"Fine-tuning on longer sequences changes it by {' and '.join(parts)}.")
    for contrast in contrasts:
        if contrast.what == "raised base, given fine-tuning":
            gained = any(
                c.after.phase is contrast.before.phase
                and c.differences[BEYOND].mean < 0
                and verdict(c.differences[BEYOND]) != WITHIN
                for c in tuned
            )
            said.append(_cause(contrast, where, gained))
            if contrast.differences[UNSEEN].error > 0:
                said.append(_reach(contrast, longest))
    if tuned and not controlled:
        said.append(
            "No phase was fine-tuned with the base left as it was, so what the base contributes"
            " cannot be told from what fine-tuning contributes."
        )
    return said


def _cause(contrast: Contrast, where: str, gained: bool) -> str:
    beyond = contrast.differences[BEYOND]
    pair = f"{contrast.after.phase.name} against {contrast.before.phase.name}, {where}"
    change = f"changes the loss by {with_error(beyond)} nats a token, {verdict(beyond)}"
    fact = f"The raised base itself ({pair}) {change}"
    credit = ", and what is gained is gained by fine-tuning" if gained else ""
    if not abs(beyond.mean) > beyond.error:
        return f"{fact}: this run does not tell the two bases apart{credit}."
    if beyond.mean < 0:
        return f"{fact}: the base lowers the loss beyond what fine-tuning does."
    return f"{fact}: here the old base does better{credit}."


def _reach(contrast: Contrast, longest: int) -> str:
    """What the base does at positions that no phase of the branch was trained on."""
    unseen = contrast.differences[UNSEEN]
    fact = (
        f"Beyond position {longest:,}, where neither {contrast.after.phase.name} nor"
        f" {contrast.before.phase.name} was trained, the raised base changes the loss by"
        f" {with_error(unseen)} nats a token ({verdict(unseen)})"
    )
    if not abs(unseen.mean) > unseen.error:
        return f"{fact}."
    if unseen.mean < 0:
        return (
            f"{fact}: the two differ in nothing but the base, which is what carries a model past"
            " the positions it was trained on."
        )
    return f"{fact}: here the old base reaches further."
