"""A sweep for people: a table in the terminal, report.html, report.json and best.gin."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from codellama_jax.errors import UserError
from codellama_jax.pages import rendered
from codellama_jax.sweeps.plan import Plan
from codellama_jax.sweeps.plots import figures
from codellama_jax.sweeps.results import FILE
from codellama_jax.writing import aligned, count, number, percent, plural, signed

BEST = "best.gin"


def write_report(result: Mapping[str, Any], plan: Plan, folder: Path) -> None:
    """Prints the table; writes the JSON, the best trial's configuration and the page.

    Args:
      result: of `results`, with "claims".
      plan: of the sweep.
      folder: where to.

    Raises:
      UserError: a library of the page is not installed.
    """
    (folder / FILE).write_text(json.dumps(result, indent=1) + "\n")
    best = None
    if result["best"] is not None:
        best = _best_configuration(result, plan, folder)
        (folder / BEST).write_text(best)
    print("", *report_lines(result), sep="\n")
    try:
        (folder / "report.html").write_text(_page(result, best), encoding="utf-8")
    except ImportError as error:
        raise UserError(
            f"the report's page needs {error.name}: pip install 'codellama-jax[eval]'"
        ) from error
    print(f"wrote {folder}/report.html, {FILE}" + (f" and {BEST}" if best else ""))


def report_lines(result: Mapping[str, Any]) -> Iterator[str]:
    """The result as lines of text."""
    for heading, table in tables(result):
        yield heading
        labels = len(table[0]) if heading.startswith("claims") else 1
        yield from (f"  {line}" for line in aligned(table, labels))
        yield ""


def tables(result: Mapping[str, Any]) -> Iterator[tuple[str, list[list[str]]]]:
    """Heading and table of each part."""
    rows = result["trials"]
    done = sum(row["state"] in ("complete", "given up", "failed") for row in rows)
    entries = sorted({name for row in rows for name in row["values"]})
    order = {"complete": 0, "given up": 1}
    ranked = sorted(
        rows, key=lambda row: (order.get(row["state"], 2), -row["tokens"], row["objective"] or 0.0)
    )
    yield (
        f"{result['sweep']}: {done} of {plural(len(rows), 'trial')} done;"
        f" {result['objective']} of {result['phase']}, best first",
        [["trial", *entries, "result", "tokens", "seconds", "state"]]
        + [
            [
                f"{row['trial']:03}",
                *(_short(row["values"].get(name)) for name in entries),
                number(row["objective"], 4),
                count(row["tokens"]),
                f"{row['seconds']:.0f}",
                _state(row),
            ]
            for row in ranked
        ],
    )
    if result["importance"]:
        yield (
            "importance of each setting (PED-ANOVA)",
            [["setting", "share"]]
            + [[name, percent(share)] for name, share in result["importance"].items()],
        )
    if result["claims"]:
        yield (
            "claims: the difference of the two choices, mean over seeds ± standard deviation",
            claims_table(result["claims"]),
        )


def claims_table(claims: list[Mapping[str, Any]]) -> list[list[str]]:
    """A row for each claim: it, the measurement with its spread, and the verdict."""
    return [["claim", "measured", "lower one there after", "verdict"]] + [
        [
            claim["text"],
            f"{claim['metric']}: {claim['higher']} − {claim['lower']} = "
            f"{signed(claim['difference'], 4)} ± {number(claim['spread'], 4)}"
            f" ({plural(len(claim['pairs']), 'pair')})",
            "–" if claim["reached"] is None else f"{percent(claim['reached'], 0)} of the tokens",
            claim["verdict"],
        ]
        for claim in claims
    ]


def _best_configuration(result: Mapping[str, Any], plan: Plan, folder: Path) -> str:
    row = next(row for row in result["trials"] if row["trial"] == result["best"])
    return (
        f"# Command: codellama-jax train --gin_file={folder / BEST}\n"
        f"# Cost:    {row['seconds']:.0f} seconds where the sweep ran.\n"
        f"# Result:  {folder / 'best'}, {result['objective']} {row['objective']!r}:"
        f" trial {row['trial']:03} again.\n\n{plan.configuration(row['values'], folder / 'best')}"
    )


def _page(result: Mapping[str, Any], best: str | None) -> str:
    template = Path(__file__).with_name("report_template.html")
    return rendered(
        template,
        sweep=result["sweep"],
        tables=list(tables(result)),
        figures=figures(result),
        best=best,
    )


def _state(row: Mapping[str, Any]) -> str:
    state = f"{row['state']}: {row['error']}" if row["error"] else row["state"]
    return f"{state}, {row['attempts']} starts" if row["attempts"] > 1 else state


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
