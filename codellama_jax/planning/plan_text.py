"""A plan as a person reads it: slice, programs, memory, time, collectives, cost, what is meant."""

from collections.abc import Iterator, Mapping
from typing import Any

from codellama_jax.writing import aligned, count, number, percent, plural

Planned = Mapping[str, Any]
Table = list[tuple[str, ...]]
GIB = 2**30

WORDS = (
    "Memory is the compiler's own assignment, exact but for what the runtime itself takes.",
    "Times are estimates: the compiler's cycles of each operation times how often it runs, and"
    " bytes over the links' published rates for what does not overlap. They leave out the input"
    " pipeline, saving, stragglers and congestion. MFU and tokens a second follow from them.",
    "FLOPs: executed are counted in the compiled program, of matrix products; the model's own are"
    " six for each weight and token, plus causal attention.",
    "Days and cost count steps alone: add start-up, saving, held-out losses and lost machines.",
)


def text_of(result: Planned) -> str:
    """All tables."""
    lines = [slice_line(result["topology"]), *options_lines(result["phases"])]
    for title, table in tables(result):
        lines += ["", f"{title}:", *aligned(table, labels=1)]
    for phase in result["phases"]:
        if not phase["fits"]:
            lines += ["", *_refusal(phase)]
    for name, rows in result["search"].items():
        lines += ["", f"{name}, the best of {plural(len(rows), 'case')} compiled:"]
        best = next(phase for phase in result["phases"] if phase["name"] == name)
        lines += [f"    {line}" for line in best["settings"]]
    lines += ["", *problem_lines(result), *WORDS]
    return "\n".join(lines)


def slice_line(found: Planned) -> str:
    """The slice in one line."""
    chip = found["chip"]
    shape = "×".join(map(str, found["shape"]))
    rings = "".join("o" if ring else "–" for ring in found["wrap"])
    several = f"{found['slices']} slices of " if found["slices"] > 1 else ""
    return (
        f"{found['name']}: {several}{shape} chips of {chip['name']} (rings {rings}),"
        f" {found['chips']:,} in all on {plural(found['hosts'], 'host')};"
        f" {chip['bf16_flops'] / 1e12:g} TFLOP/s a chip,"
        f" {found['device_bytes'] / GIB:.2f} GiB for a program of a device"
    )


def problem_lines(result: Planned) -> list[str]:
    """What was asked for and is not planned, and why."""
    return [f"not planned: {problem}" for problem in result["problems"]]


def options_lines(phases: list[Planned]) -> list[str]:
    """What programs are compiled with, a line for each set of options."""
    sets: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for phase in phases:
        sets.setdefault(tuple(sorted(phase["compiler_options"].items())), []).append(phase["name"])
    return [
        f"compiler options of {', '.join(names)}:"
        f" {', '.join(f'{key}={value}' for key, value in options) or 'none'}"
        for options, names in sets.items()
    ]


def summary(result: Planned) -> str:
    """What all comes to, in one sentence; nothing where nothing fits."""
    total, phases = result["total"], result["phases"]
    if not any(phase["fits"] for phase in phases):
        return ""
    which = plural(len(phases), "phase") if total["complete"] else "The phases that fit"
    price = f" and {total['dollars']:,.0f} dollars" if total["dollars"] else ""
    return (
        f"{which}: {count(total['tokens'])} tokens in {number(total['days'], 1)} days of steps,"
        f" {total['chip_hours']:,.0f} chip-hours{price}."
    )


def tables(result: Planned) -> Iterator[tuple[str, Table]]:
    """Title and rows of each table; the first row names the columns."""
    phases = result["phases"]
    fitting = [phase for phase in phases if phase["fits"]]
    if phases:
        yield "programs", _programs(phases)
        yield "memory, GiB a device", _memory(phases)
    if fitting:
        yield "a step", _step(fitting)
        yield "work of a step, on one device", _work(fitting)
        yield "collectives of a step, on one device", _collectives(fitting)
        yield "cost", _cost(fitting, result["total"])
    if any("published" in phase for phase in phases):
        yield "beside what was published", _published(fitting)
    if result["decoding"]:
        yield "decoding", _decoding(result["decoding"])
    if result["scaling"]:
        yield f"scaling of {phases[0]['name']}", _scaling(result["scaling"])
    for name, rows in result["search"].items():
        yield f"search of {name}", _searched(rows)


def _programs(phases: list[Planned]) -> Table:
    rows = [("phase", "mesh", "remat", "micro-batches", "rows × length", "compiled in", "host GiB")]
    for phase in phases:
        kept = " (kept)" if phase["cached"] else ""
        rows.append(
            (
                phase["name"],
                mesh_text(phase),
                phase["remat"],
                str(phase["micro_batches"]),
                f"{phase['batch_size']:,} × {phase['sequence_length']:,}",
                f"{phase['compile_seconds']:.0f} s{kept}",
                number(phase["host_memory"] / GIB, 2),
            )
        )
    return rows


def mesh_text(phase: Planned) -> str:
    """Axes of more than one device."""
    return " × ".join(f"{axis} {n}" for axis, n in phase["mesh"].items() if n > 1) or "one device"


def _memory(phases: list[Planned]) -> Table:
    names = ("arguments", "temporaries", "code")
    rows: Table = [("phase", "peak", "of", *names, "by arithmetic", "host")]
    for phase in phases:
        memory = phase.get("memory", {})
        rows.append(
            (
                phase["name"],
                _gib(memory.get("peak")) if memory else "too large",
                _gib(phase["device_bytes"]),
                *(_gib(memory.get(name)) for name in names),
                _gib(phase["held"]["all"]),
                _gib(memory.get("host")),
            )
        )
    return rows


def _step(phases: list[Planned]) -> Table:
    kinds = list(dict.fromkeys(kind for phase in phases for kind in phase["parts"]))
    rows: Table = [("phase", "seconds", *kinds, "MFU", "tokens/s", "a chip")]
    for phase in phases:
        rows.append(
            (
                phase["name"],
                number(phase["step_seconds"]),
                *(number(phase["parts"][kind]) for kind in kinds),
                percent(phase["mfu"]),
                f"{phase['tokens_per_second']:,.0f}",
                f"{phase['tokens_per_second_per_chip']:,.0f}",
            )
        )
    return rows


def _work(phases: list[Planned]) -> Table:
    rows: Table = [("phase", "TFLOP run", "in kernels", "of the model's", "GB moved", "GB sent")]
    for phase in phases:
        timed = phase["estimate"]
        executed = timed["flops"] + timed["kernel_flops"]
        rows.append(
            (
                phase["name"],
                number(executed / 1e12, 1),
                number(timed["kernel_flops"] / 1e12, 1),
                number(executed / phase["model_flops_per_device"], 2),
                number(timed["bytes"] / 1e9, 1),
                number(timed["wire_bytes"] / 1e9, 2),
            )
        )
    return rows


def _collectives(phases: list[Planned]) -> Table:
    rows: Table = [("phase: kind", "runs", "beside compute", "GB sent", "seconds", "waited for")]
    for phase in phases:
        for kind, found in phase["estimate"]["collectives"].items():
            rows.append(
                (
                    f"{phase['name']}: {kind}",
                    f"{found['count']:,}",
                    f"{found['asynchronous']:,}",
                    number(found["wire_bytes"] / 1e9, 2),
                    number(found["seconds"]),
                    number(found["exposed"]),
                )
            )
    return rows


def _cost(phases: list[Planned], total: Planned) -> Table:
    rows: Table = [("phase", "steps", "tokens", "days", "chip-hours", "dollars")]
    for phase in [*phases, {**total, "name": "all" if total["complete"] else "all that fit"}]:
        rows.append(
            (
                phase["name"],
                f"{phase['steps']:,}" if "steps" in phase else "",
                count(phase["tokens"]),
                number(phase["days"], 2),
                f"{phase['chip_hours']:,.0f}",
                "–" if phase["dollars"] is None else f"{phase['dollars']:,.0f}",
            )
        )
    return rows


def _published(phases: list[Planned]) -> Table:
    rows: Table = [("phase", "by", "chips", "MFU", "here", "tokens/s a chip", "here", "deviation")]
    for phase in phases:
        if theirs := phase.get("published"):
            rate = theirs["rate"]
            rows.append(
                (
                    phase["name"],
                    theirs["who"],
                    f"{theirs['chips']:,} {theirs['chip']}",
                    percent(theirs["mfu"]),
                    percent(phase["mfu"]),
                    f"{rate:,.0f}" if rate else "–",
                    f"{phase['tokens_per_second_per_chip']:,.0f}",
                    f"{theirs['deviation']:+.1%}",
                )
            )
    return rows


def _decoding(found: Planned) -> Table:
    """Of one step on one device."""
    needed = found["needed"]
    rows: Table = [
        ("on one device", "a step"),
        ("mesh", mesh_text(found)),
        ("requests × cache", f"{found['slots']:,} × {found['length']:,}"),
        ("weights, cache, GiB", f"{_gib(needed['parameters'])}, {_gib(needed['cache'])}"),
        (
            "compiled in, host GiB",
            f"{found['compile_seconds']:.0f} s, {_gib(found['host_memory'])}",
        ),
    ]
    if not found["fits"]:
        return [*rows, ("too large", found["message"])]
    price = found["dollars_per_million_tokens"]
    return [
        *rows,
        ("peak, of, GiB", f"{_gib(found['memory']['peak'])}, {_gib(found['device_bytes'])}"),
        ("moved a step, GiB", _gib(found["bytes_moved"])),
        ("of weights and cache", number(found["of_needed"], 2)),
        ("seconds a step", number(found["step_seconds"])),
        ("of it at least, to read", number(found["reading_seconds"])),
        ("waiting for links", number(found["waiting_seconds"])),
        ("tokens/s", f"{found['tokens_per_second']:,.0f}"),
        ("dollars a million tokens", "–" if price is None else number(price)),
    ]


def _scaling(rows: list[Planned]) -> Table:
    table: Table = [
        ("chips", "mesh", "micro-batches", "peak GiB", "seconds", "MFU", "tokens/s", "chip-hours")
    ]
    for row in rows:
        fits = row["fits"]
        table.append(
            (
                f"{row['chips']:,}",
                mesh_text(row),
                str(row["micro_batches"]),
                _gib(row["memory"]["peak"]) if fits else "too large",
                number(row["step_seconds"]) if fits else "–",
                percent(row["mfu"]) if fits else "–",
                f"{row['tokens_per_second']:,.0f}" if fits else "–",
                f"{row['chip_hours']:,.0f}" if fits else "–",
            )
        )
    return table


def _searched(rows: list[Planned]) -> Table:
    table: Table = [
        (
            "mesh",
            "remat",
            "micro-batches",
            "rows a device",
            "block",
            "peak GiB",
            "seconds",
            "MFU",
            "tokens/s a chip",
        )
    ]
    for row in rows:
        fits = row["fits"]
        table.append(
            (
                mesh_text(row),
                row["remat"],
                str(row["micro_batches"]),
                f"{row['rows_per_device']:g}",
                str(row["attention_block"]),
                _gib(row["memory"]["peak"]) if fits else "too large",
                number(row["step_seconds"]) if fits else "–",
                percent(row["mfu"]) if fits else "–",
                f"{row['tokens_per_second_per_chip']:,.0f}" if fits else "–",
            )
        )
    return table


def _refusal(phase: Planned) -> Iterator[str]:
    refused = phase["out_of_memory"]
    yield f"{phase['name']} does not fit: {refused['message']}"
    yield "the largest buffers, GiB a device:"
    yield from aligned([(f"    {b['name']}", _gib(b["bytes"])) for b in phase["largest"]])
    if named := (refused["shortage"] or {}).get("largest"):
        yield "the largest by the compiler:"
        yield from aligned([(f"    {b['name']} {b['shape']}", _gib(b["bytes"])) for b in named])
    yield from (f"    {line}" for line in refused["looked_at"])
    if refused["nearest"]:
        yield "the nearest that fits:"
        yield from (f"    {line}" for line in refused["nearest"])
    else:
        yield "nothing nearer fits: take a larger slice"


def _gib(value: float | None) -> str:
    return number(None if value is None else value / GIB, 2)
