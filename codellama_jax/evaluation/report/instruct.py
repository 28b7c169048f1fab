"""The report's section on instruct: what dialogues bring and cost, and what rehearsal saves."""

from codellama_jax.evaluation.report.blocks import Block, Cell, Section, Table, Text
from codellama_jax.evaluation.report.data import PhaseData, RunData
from codellama_jax.evaluation.report.sections import NONE, phase_cell
from codellama_jax.evaluation.report.summary import source_title
from codellama_jax.writing import number, percent

_CHATS = ("dialogues", "safety")


def instruct_section(run: RunData) -> Section:
    """Each phase that reads dialogues beside its parent and its controls."""
    section = Section("Instruct", "instruct")
    taught = [phase for phase in run.phases.values() if _chats(phase)]
    parents = dict.fromkeys(phase.parent for phase in taught if phase.parent in run.phases)
    for parent in parents:
        phases = [phase for phase in taught if phase.parent == parent]
        section.blocks.extend(_compared(run, run.phases[parent], phases))
    if not parents:
        section.blocks.append(Text("No phase reads dialogues.", "missing"))
    return section


def _compared(run: RunData, parent: PhaseData, phases: list[PhaseData]) -> list[Block]:
    sources = run.sources
    columns = [("phase", ""), ("rehearsal", "of the mixture"), ("dialogues", "nats / token")]
    columns += [(source_title(source), "bits / byte") for source in sources]
    rows = []
    for phase in (parent, *phases):
        share = NONE if phase is parent else Cell(percent(1 - _chats(phase)))
        cells = [_with_change(_loss(phase), _loss(parent), phase is parent)]
        for source in sources:
            value, before = _bits(phase, source), _bits(parent, source)
            cells.append(_with_change(value, before, phase is parent))
        rows.append([phase_cell(phase), share, *cells])
    caption = (
        f"{parent.name} and what continues it on dialogues: loss of held-out answers, bits per byte"
        " of held-out text, and their changes. Rehearsal: what the mixture has of the text"
        " trained on before."
    )
    sentences = [said for phase in phases if (said := _sentence(parent, phase))]
    blocks: list[Block] = [Text(" ".join(sentences), "finding")] if sentences else []
    blocks.append(Table(caption, columns, rows))
    if all(_chats(phase) < 1 for phase in phases):
        blocks.append(
            Text(
                "No run without rehearsal stands beside it: the quickstart's is trained by"
                " `make quickstart-rehearsal`.",
                "small",
            )
        )
    return blocks


def _sentence(parent: PhaseData, phase: PhaseData) -> str:
    losses, bits = (_loss(parent), _loss(phase)), (_bits(parent, "code"), _bits(phase, "code"))
    if None in losses or None in bits:
        return ""
    share = 1 - _chats(phase)
    how = f"with {percent(share, 0)} rehearsal" if share > 0 else "without rehearsal"
    return (
        f"{phase.name}, {how}, takes the loss of held-out answers from {number(losses[0])} to"
        f" {number(losses[1])} and the bits per byte of held-out code from {number(bits[0])} to"
        f" {number(bits[1])} ({_change(bits[1], bits[0])})."
    )


def _chats(phase: PhaseData) -> float:
    """The share of dialogues in a mixture, at most 1."""
    return min(sum(phase.rates.get(task, 0.0) for task in _CHATS), 1.0)


def _loss(phase: PhaseData) -> float | None:
    return phase.evaluation.get("dialogues", {}).get("loss")


def _bits(phase: PhaseData, source: str) -> float | None:
    return phase.evaluation.get("bits_per_byte", {}).get(source)


def _with_change(value: float | None, before: float | None, first: bool) -> Cell:
    detail = "" if first or None in (value, before) else _change(value, before)
    return Cell(number(value), detail)


def _change(value: float, before: float) -> str:
    return f"{value / before - 1:+.1%}".replace("%", " %")
