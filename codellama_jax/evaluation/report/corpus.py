"""The report's sections on the corpus, and on settings and how to repeat the run."""

from pathlib import Path
from typing import Any

import gin

from codellama_jax.evaluation.report.blocks import (
    Block,
    Cell,
    Fold,
    Listing,
    Section,
    Table,
    Text,
    printable,
)
from codellama_jax.evaluation.report.data import RunData
from codellama_jax.evaluation.report.sections import phase_cell
from codellama_jax.evaluation.report.summary import source_title
from codellama_jax.writing import count, number, scientific, size

ROOT = Path(__file__).resolve().parents[3]
LICENSES = 12  # shown of the list
LANGUAGES = 6  # shown of each split


def corpus_section(run: RunData) -> Section:
    """What the corpus holds, what was left out, and under which licences it stands."""
    sources = run.manifest["sources"]
    tokenizer = run.manifest["tokenizer"]
    collected = run.manifest.get("collected", {})
    text = f"{run.corpus}: "
    if collected:
        text += (
            f"{collected['files']:,} files of {size(collected['bytes'])} were found,"
            f" {collected.get('read_files', collected['files']):,} of them read. "
        )
    text += (
        f"Documents are split after de-duplication. The tokenizer has {tokenizer['size']:,} ids"
        f" (sha256 {tokenizer['sha256'][:12]}…)."
    )
    blocks: list[Block] = [Text(text), _contents(sources), _dropped(run.manifest)]
    return Section("Corpus", "corpus", [*blocks, _licenses(sources)])


def settings_section(run: RunData) -> Section:
    """Model, phases, configurations, commands."""
    section = Section("Settings and how to repeat this", "settings")
    section.blocks.extend([_phase_settings(run), _model(run), _commands(run)])
    last = list(run.phases.values())[-1]
    if text := last.record.get("operative_config", ""):
        title = f"Configuration of training, as recorded in the checkpoint of {last.name}"
        section.blocks.append(Fold(title, [Listing("gin", [("plain", printable(text, 60_000))])]))
    if text := gin.config_str().strip():
        title = "Configuration this report was made with"
        section.blocks.append(Fold(title, [Listing("gin", [("plain", printable(text, 60_000))])]))
    return section


def _contents(sources: dict[str, Any]) -> Table:
    rows = []
    for source, splits in sources.items():
        for split, described in splits.items():
            languages = described["languages"]
            named = [
                f"{name} {size(counts['bytes'])}"
                for name, counts in list(languages.items())[:LANGUAGES]
            ]
            if len(languages) > LANGUAGES:
                named.append(f"{len(languages) - LANGUAGES} more")
            rows.append(
                [
                    Cell(source_title(source), "" if source_title(source) == source else source),
                    Cell({"heldout": "held‑out"}.get(split, split)),
                    Cell(", ".join(named)),
                    Cell(f"{described['documents']:,}"),
                    Cell(size(described["bytes"])),
                    Cell(count(described["tokens"])),
                    Cell(number(described["bytes"] / max(described["tokens"], 1), 2)),
                ]
            )
    columns = [("source", ""), ("split", ""), ("languages", ""), ("documents", "")]
    columns += [("text", ""), ("tokens", ""), ("bytes / token", "")]
    caption = "The corpus. A source may repeat part of another, as Python does of code."
    return Table(caption, columns, rows, labels=3)


def _dropped(manifest: dict[str, Any]) -> Table:
    rows = []
    for source, reasons in manifest.get("dropped", {}).items():
        ordered = sorted(reasons.items(), key=lambda item: -item[1]["documents"])
        for reason, drop in ordered:
            example = next(iter(drop.get("examples", [])), "")
            rows.append(
                [
                    Cell(source_title(source)),
                    Cell(reason),
                    Cell(printable(example, 110)),
                    Cell(f"{drop['documents']:,}"),
                    Cell(size(drop["bytes"])),
                ]
            )
    columns = [("source", ""), ("dropped because", ""), ("for example", ""), ("documents", "")]
    return Table("What was left out, and why.", [*columns, ("text", "")], rows, labels=3)


def _licenses(sources: dict[str, Any]) -> Table:
    trained = {
        source: splits["train"]["licenses"]
        for source, splits in sources.items()
        if "train" in splits
    }
    largest: dict[str, int] = {}
    for licenses in trained.values():
        for name, counts in licenses.items():
            largest[name] = max(largest.get(name, 0), counts["bytes"])
    names = sorted(largest, key=lambda name: -largest[name])
    rows = []
    for name in names[:LICENSES]:
        values = [licenses.get(name, {}).get("bytes") for licenses in trained.values()]
        rows.append([Cell(printable(name, 80)), *[Cell(size(v) if v else "–") for v in values]])
    more = len(names) - LICENSES
    caption = "Licences of the training documents, as their packages state them"
    caption += f"; {more} more are in report.json." if more > 0 else "."
    return Table(caption, [("licence", ""), *[(source_title(s), "") for s in trained]], rows)


def _phase_settings(run: RunData) -> Table:
    columns = [
        ("phase", ""), ("mixture", ""), ("steps", ""), ("batch", "rows"), ("sequence", "tokens"),
        ("rotary base", ""), ("peak rate", ""), ("warm-up", "steps"), ("last rate", "of peak"),
        ("seed", ""), ("version", ""),
    ]  # fmt: skip
    rows = []
    for phase in run.phases.values():
        settings = phase.settings
        final = settings["final_fraction"]
        rows.append(
            [
                phase_cell(phase),
                Cell(settings["mixture"]),
                Cell(f"{settings['steps']:,}"),
                Cell(f"{settings['batch_size']:,}"),
                Cell(f"{settings['sequence_length']:,}"),
                Cell(scientific(settings["rope_base"])),
                Cell(scientific(settings["peak_learning_rate"])),
                Cell(f"{settings['warmup_steps']:,}"),
                Cell(f"1/{1 / final:.3g}" if 0 < final < 1 else f"{final:g}"),
                Cell(str(phase.lineage[-1]["seed"])),
                Cell(phase.lineage[-1]["code_version"]),
            ]
        )
    return Table("Settings of the phases.", columns, rows, labels=2)


def _model(run: RunData) -> Table:
    """Fields in which phases agree; the rotary base differs and stands with the phases."""
    phases = list(run.phases.values())
    fields = {key: value for key, value in phases[0].record["model"].items() if key != "rope_base"}
    rows = [[Cell("parameters"), Cell(f"{phases[0].parameters:,}")]]
    for key, value in fields.items():
        others = [phase for phase in phases if phase.record["model"].get(key) != value]
        text = (
            f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
        )
        text += "".join(f"; {phase.name}: {phase.record['model'].get(key)}" for phase in others)
        rows.append([Cell(key), Cell(text)])
    half = -(-len(rows) // 2)
    rows += [[Cell(""), Cell("")]] * (2 * half - len(rows))
    paired = [[*left, *right] for left, right in zip(rows[:half], rows[half:])]
    columns = [("field", ""), ("value", ""), ("field", ""), ("value", "")]
    return Table("The model (LlamaConfig).", columns, paired, labels=4)


def _commands(run: RunData) -> Listing:
    """The shipped configurations that bear the run's name, or what stands for one's own."""
    verbs = (("prepare", "corpora"), ("train", "runs"), ("evaluate", "evaluations"))
    lines = []
    for verb, folder in (*verbs, ("report", "evaluations")):
        name = run.name if (ROOT / "configs" / folder / f"{run.name}.gin").is_file() else "<yours>"
        lines.append(f"codellama-jax {verb:<8} --gin_file=configs/{folder}/{name}.gin")
    note = "train continues or skips what is there: bind train.run_dir to a new folder to repeat"
    return Listing("commands", [("plain", "\n".join(lines))], note=note)
