"""The report's sections on phases, results, training and long context."""

from codellama_jax.evaluation.report.blocks import (
    Block,
    Cell,
    Figure,
    Section,
    Table,
    Text,
)
from codellama_jax.evaluation.report.data import PhaseData, RunData
from codellama_jax.evaluation.report.graph import phase_graph
from codellama_jax.evaluation.report.plots import loss_by_position, loss_curves, retrieval_maps
from codellama_jax.evaluation.report.positions import Branch, verdict, with_error
from codellama_jax.evaluation.report.summary import interval_or_count, source_title
from codellama_jax.writing import count, number, percent, plural, scientific

NONE = Cell("–")


def phases_section(run: RunData) -> Section:
    """The graph, and each phase's lineage."""
    caption = (
        "The phases. An arrow leads from the phase whose final parameters a phase starts from."
    )
    if any(phase.control for phase in run.phases.values()):
        caption += " Dashed and grey: controls, trained only to be compared with."
    svg = phase_graph(run, "phases", caption)
    rows = []
    for phase in run.phases.values():
        steps = f"{phase.step:,}"
        if not phase.complete:
            steps += f" of {phase.settings['steps']:,}"
        rows.append(
            [
                phase_cell(phase),
                Cell(" → ".join(entry["phase"] for entry in phase.lineage)),
                Cell(phase.settings.get("purpose", "")),
                Cell(steps),
                Cell(count(phase.tokens)),
            ]
        )
    table = Table(
        "Lineage.",
        [("phase", ""), ("lineage", ""), ("purpose", ""), ("steps", ""), ("tokens read", "")],
        rows,
        labels=3,
    )
    return Section("Phases", "phases", [Figure("phases", caption, svg), table])


def results_section(run: RunData) -> Section:
    """The table phase × metric, with compressors beside the bits per byte."""
    sources = run.sources
    formats = _infill_formats(run)
    columns = [("phase", "")]
    columns += [(source_title(source), "bits / byte") for source in sources]
    columns += [(f"infilling {name.upper()}", "exact match") for name in formats]
    columns += [
        ("key retrieval", "mean found"),
        ("pass@1", ""),
        ("dialogues", "nats / token"),
        ("speed", "tokens / s"),
        ("model", "GFLOP / s"),
    ]
    rows = [_result_row(run, phase, sources, formats) for phase in run.phases.values()]
    compressors = dict.fromkeys(k for v in run.compression.values() for k in v if k != "bytes")
    for name in compressors:
        label = name if ", " in name else f"{name}, each document"
        cells = [Cell(number(run.compression.get(s, {}).get(name))) for s in sources]
        blank = [Cell("")] * (len(columns) - 1 - len(sources))
        rows.append([Cell(label), *cells, *blank])
    table = Table(
        "Every phase and every measure; the best of a column in bold. 95 % intervals by"
        " bootstrap over holes or problems. EOT: share of infills that the model ended itself."
        " Speed: medians over training.",
        columns,
        rows,
        rule_before=len(run.phases),
    )
    sizes = ", ".join(
        f"{source_title(s)} {v['bytes']:,.0f}" for s, v in run.compression.items() if "bytes" in v
    )
    note = "Bits per byte are of UTF-8 text, each document by itself from bos to eos"
    note += f"; held-out bytes: {sizes}." if sizes else "."
    if run.compression:
        note += (
            " A compressor that reads each document by itself has what the model has; as one"
            " file, it learns from one held-out document for the next."
        )
    return Section("Results", "results", [table, Text(note, "small")])


def training_section(run: RunData) -> Section:
    """Loss curves."""
    caption = (
        "Loss of each phase: every step faint, its exponential mean over a fiftieth of the steps"
        " strong; thin, each task of the mixture, over a twenty-fifth of the steps that read it;"
        " below, the learning rate."
    )
    phases = [phase for phase in run.phases.values() if phase.steps]
    blocks: list[Block] = []
    if phases:
        blocks.append(Figure("loss", caption, loss_curves(phases, "loss", caption)))
    if unseen := [phase.name for phase in run.phases.values() if not phase.steps]:
        blocks.append(Text(f"No metrics.jsonl: {', '.join(unseen)}.", "missing"))
    return Section("Training", "training", blocks)


def long_context_section(run: RunData, branches: list[Branch]) -> Section:
    """Loss by position before and after, and what of it is the base's doing."""
    section = Section("Long context", "long-context")
    for n, branch in enumerate(branches, start=1):
        name = f"position_{n}"
        documents = max(reading.result["documents"] for reading in branch.readings)
        caption = (
            f"Loss by position of {branch.parent.name} and of the phases that continue it on longer"
            f" sequences, over the same {plural(documents, 'document')}. Solid: read with the"
            " rotary base of training; dashed: with another. Bands: standard error over documents."
        )
        svg = loss_by_position(branch, name, caption)
        section.blocks.append(Figure(name, caption, svg))
        if branch.sentences:
            section.blocks.append(Text(" ".join(branch.sentences), "finding"))
        section.blocks.append(_region_table(branch))
        if branch.contrasts:
            section.blocks.append(_contrast_table(branch))
    if not branches:
        section.blocks.append(
            Text(
                "No phase that continues another on longer sequences has its loss by position"
                " measured.",
                "missing",
            )
        )
    return section


def retrieval_section(run: RunData) -> Section:
    """Heat maps of key retrieval."""
    phases = [phase for phase in run.evaluated if phase.evaluation.get("key_retrieval")]
    if not phases:
        text = Text("Key retrieval was not measured.", "missing")
        return Section("Key retrieval", "retrieval", [text])
    examples = max(c["examples"] for p in phases for c in p.evaluation["key_retrieval"])
    caption = (
        "Share of two-digit keys found: a function that returns the key stands at a relative depth"
        " of a prompt of that many tokens of other functions, and the prompt ends in an assertion"
        f" about it. {plural(examples, 'prompt')} a cell; guessing finds 1 %."
    )
    maps = [(p.name, p.color, p.evaluation["key_retrieval"]) for p in phases]
    svg = retrieval_maps(maps, "retrieval", caption)
    lengths = ", ".join(f"{phase.name} {phase.trained_length:,}" for phase in phases)
    note = Text(f"Longest sequence of each phase's training, in tokens: {lengths}.", "small")
    return Section("Key retrieval", "retrieval", [Figure("retrieval", caption, svg), note])


def phase_cell(phase: PhaseData) -> Cell:
    """A phase's name with its colour."""
    return Cell(phase.name, "control" if phase.control else "", phase.color)


def mean_retrieval(phase: PhaseData) -> float | None:
    """Mean share of keys found over all lengths and depths."""
    cells = phase.evaluation.get("key_retrieval", [])
    return sum(cell["accuracy"] for cell in cells) / len(cells) if cells else None


def _infill_formats(run: RunData) -> list[str]:
    return list(dict.fromkeys(f for p in run.evaluated for f in p.evaluation.get("infilling", {})))


def _result_row(
    run: RunData, phase: PhaseData, sources: list[str], formats: list[str]
) -> list[Cell]:
    def best(value: float | None, values: list[float | None], lowest: bool = False) -> bool:
        known = [v for v in values if v is not None]
        extreme = (min if lowest else max)(known, default=None)
        return value == extreme and len(set(known)) > 1

    def each(*path: str) -> list[float | None]:
        return [_at(p.evaluation, *path) for p in run.evaluated]

    result = phase.evaluation
    cells = [phase_cell(phase)]
    for source in sources:
        value = _at(result, "bits_per_byte", source)
        cells.append(
            Cell(number(value), best=best(value, each("bits_per_byte", source), lowest=True))
        )
    for name in formats:
        filled = _at(result, "infilling", name)
        if filled is None:
            cells.append(NONE)
            continue
        value = filled["exact_match"]
        detail = interval_or_count(filled["interval"], value, filled["holes"])
        detail += f"\nEOT {percent(filled['ended'], 0)}"
        is_best = best(value, each("infilling", name, "exact_match"))
        cells.append(Cell(percent(value), detail, best=is_best))
    found = mean_retrieval(phase)
    is_best = best(found, [mean_retrieval(p) for p in run.evaluated])
    cells.append(Cell(percent(found), best=is_best))
    cells.append(_pass_cell(result.get("programs"), best, each("programs", "pass@1")))
    loss = _at(result, "dialogues", "loss")
    is_best = best(loss, each("dialogues", "loss"), lowest=True)
    cells.append(Cell(number(loss), best=is_best))
    flops = phase.median("model_flops_per_second")
    cells.append(Cell(count(phase.median("tokens_per_second"))))
    cells.append(Cell(number(flops / 1e9, 1) if flops is not None else "–"))
    return cells


def _pass_cell(programs: dict | None, best: object, values: list[float | None]) -> Cell:
    if not programs:
        return NONE
    if "not_run" in programs:
        return Cell("not run", programs["not_run"])
    value = programs.get("pass@1")
    if value is None:
        return NONE
    total = len(programs.get("problems", []))
    interval = interval_or_count(programs["pass@1_interval"], value, total)
    return Cell(percent(value), interval, best=best(value, values))


def _region_table(branch: Branch) -> Table:
    rows = []
    for reading in branch.readings:
        estimates = branch.estimates(reading)
        base = Cell(scientific(reading.rope_base), "" if reading.own_base else "not its own")
        cells = [
            Cell(f"{number(estimate.mean)} ± {number(estimate.error)}")
            for estimate in estimates.values()
        ]
        rows.append([phase_cell(reading.phase), base, *cells])
    note = "" if branch.paired else " (an upper bound: the mean of the spans' errors)"
    return Table(
        f"Mean loss by region ± standard error over documents{note}: {branch.parent.name} was"
        f" trained on {branch.length:,} tokens, its longest continuation on {branch.longest:,}.",
        [
            ("phase", ""),
            ("read with base", ""),
            *((name, "nats / token") for name in branch.regions.values()),
        ],
        rows,
        labels=2,
    )


def _contrast_table(branch: Branch) -> Table:
    rows = []
    for contrast in branch.contrasts:
        before, after = contrast.before, contrast.after
        if before.phase is after.phase:
            pair = f"{after.phase.name}, base {scientific(after.rope_base)}"
            pair += f" against {scientific(before.rope_base)}"
        else:
            pair = f"{after.phase.name} against {before.phase.name}"
        differences = [contrast.differences[region] for region in branch.regions]
        cells = [Cell(with_error(difference), verdict(difference)) for difference in differences]
        rows.append([Cell(contrast.what), Cell(pair), *cells])
    how = (
        "Standard errors are of the differences document by document."
        if branch.paired
        else "Standard errors take the two readings as independent; they share their documents,"
        " so these are too large."
    )
    return Table(
        f"Differences in loss, negative is better. {how}",
        [
            ("what changes", ""),
            ("compared", ""),
            *((name, "nats / token") for name in branch.regions.values()),
        ],
        rows,
        labels=2,
    )


def _at(value: dict, *path: str) -> object:
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value
