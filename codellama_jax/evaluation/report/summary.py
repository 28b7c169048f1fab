"""The report's first sentences, computed from the measurements."""

from codellama_jax.evaluation.report.data import PhaseData, RunData
from codellama_jax.evaluation.report.positions import Branch
from codellama_jax.writing import count, number, percent, plural

TITLES = {"code": "code", "python": "Python", "nl": "prose", "nl_code": "language about code"}


def source_title(source: str) -> str:
    """What readers call a source of the corpus."""
    return TITLES.get(source, source)


def summary(run: RunData, branches: list[Branch]) -> list[str]:
    """Four to six sentences; what was not measured is left out here and said elsewhere."""
    found = [_compression(run), *_specialised(run), *_long_context(branches)]
    found += [_infilling(run), _programs(run)]
    return [sentence for sentence in found if sentence]


def scale(run: RunData) -> str:
    """How large the run is."""
    phases = list(run.phases.values())
    parameters = sorted({phase.parameters for phase in phases})
    sizes = " and ".join(count(n) for n in parameters)
    tokens = count(sum(phase.tokens for phase in phases))
    return f"{plural(len(phases), 'phase')}, {sizes} parameters, {tokens} tokens of training."


def _compression(run: RunData) -> str:
    source = "code" if "code" in run.sources else next(iter(run.sources), "")
    scored = [(p.evaluation["bits_per_byte"][source], p) for p in run.evaluated
              if source in p.evaluation.get("bits_per_byte", {})]  # fmt: skip
    if not scored:
        return ""
    bits, best = min(scored, key=lambda item: item[0])
    first_bits, first = scored[0]
    text = f"On held-out {source_title(source)} {best.name} needs {number(bits)} bits per byte"
    text += ", the fewest" if len(scored) > 1 else ""
    text += f" ({first.name}: {number(first_bits)})" if first is not best else ""
    others = run.compression.get(source, {})
    ways = {
        "gzip -9": "gzip -9 on one document at a time, as the model reads them",
        "gzip -9, one file": "gzip -9 on all of them as one file",
    }
    parts = [
        f"{number(others[key])} of {way} ({_relative(bits, others[key])})"
        for key, way in ways.items()
        if key in others
    ]
    return text + (f", against {' and '.join(parts)}." if parts else ".")


def _relative(value: float, reference: float) -> str:
    change = value / reference - 1
    return f"the model {abs(change):.1%} {'lower' if change < 0 else 'higher'}".replace("%", " %")


def _specialised(run: RunData) -> list[str]:
    """A sentence for each source that a phase is the first of its line to have a task of."""
    found = []
    for phase in run.evaluated:
        parent = run.phases.get(phase.parent or "")
        for source in run.sources:
            if not parent or not parent.evaluation or not phase.reads(source):
                continue
            before = parent.evaluation.get("bits_per_byte", {}).get(source)
            after = phase.evaluation.get("bits_per_byte", {}).get(source)
            if parent.reads(source) or before is None or after is None:
                continue
            change = after / before - 1
            found.append(
                f"On held-out {source_title(source)}, {phase.name} needs {number(after)} bits per"
                f" byte where its parent {parent.name} needs {number(before)}:"
                f" {abs(change):.1%} {'lower' if change < 0 else 'higher'}.".replace("%", " %")
            )
    return found


def _long_context(branches: list[Branch]) -> list[str]:
    """One sentence on the first branch: losses where the parent was never trained."""
    found = []
    for branch in branches[:1]:
        own = [reading for reading in branch.readings if reading.own_base]
        parts = [
            f"{number(branch.estimates(reading)['beyond'].mean)} {_role(reading.phase, branch)}"
            for reading in own
        ]
        found.append(
            f"Beyond position {branch.length:,}, where {branch.parent.name} was never trained,"
            f" the loss in nats a token is {', '.join(parts)}."
        )
        starts = ("The raised base itself", "Beyond position")
        found += [sentence for sentence in branch.sentences if sentence.startswith(starts)]
    return found


def _role(phase: PhaseData, branch: Branch) -> str:
    if phase is branch.parent:
        return f"for {phase.name}"
    return f"for {phase.name} (control)" if phase.control else f"for {phase.name}"


def _infilling(run: RunData) -> str:
    scored = [phase for phase in run.evaluated if phase.evaluation.get("infilling")]
    if not scored:
        return ""

    def mean(phase: PhaseData) -> float:
        results = phase.evaluation["infilling"].values()
        return sum(result["exact_match"] for result in results) / len(results)

    best = max(scored, key=mean)
    results = best.evaluation["infilling"]
    holes = max(result["holes"] for result in results.values())
    ended = percent(min(result["ended"] for result in results.values()), 0)
    if mean(best) == 0:
        return f"No phase fills in any of {holes:,} held-out single lines exactly."
    parts = [
        f"{percent(result['exact_match'])} in {name.upper()} ({interval_text(result['interval'])})"
        for name, result in results.items()
    ]
    return (
        f"Of {holes:,} held-out single lines {best.name} fills in {' and '.join(parts)} exactly"
        f" (95 % intervals), and ends at least {ended} of its infills by EOT itself."
    )


def _programs(run: RunData) -> str:
    results = {p.name: p.evaluation["programs"] for p in run.evaluated
               if p.evaluation.get("programs")}  # fmt: skip
    ran = {name: result for name, result in results.items() if "pass@1" in result}
    if ran:
        best = max(ran, key=lambda name: ran[name]["pass@1"])
        problems = len(ran[best].get("problems", []))
        reached = percent(ran[best]["pass@1"])
        if ran[best]["pass@1"] == 0:
            return f"No phase solves any of the {problems} programming problems (pass@1 0 %)."
        interval = interval_text(ran[best]["pass@1_interval"])
        return (
            f"On {problems} programming problems with tests the highest pass@1 is {reached}"
            f" ({best}, 95 % interval {interval})."
        )
    reasons = {result["not_run"] for result in results.values() if "not_run" in result}
    return f"Programs were not run: {'; '.join(sorted(reasons))}." if reasons else ""


def interval_or_count(interval: list[float], share: float, total: int) -> str:
    """The interval, or how many of how many where resampling shows no spread (none or all)."""
    if interval[0] < interval[1]:
        return interval_text(interval)
    return f"{round(share * total):,} of {total:,}"


def interval_text(interval: list[float]) -> str:
    """Two shares as percentages."""
    low, high = interval
    return f"{number(100 * low, 1)}–{number(100 * high, 1)} %"
