"""Two runs beside each other, for a terminal."""

from collections.abc import Iterator, Mapping
from typing import Any

from codellama_jax.writing import aligned, number, signed


def comparison_text(result: Mapping[str, Any]) -> Iterator[str]:
    """Lines of all comparisons."""
    for name, pair in result["phases"].items():
        yield f"{name}: {pair['folders'][0]} (A) and {pair['folders'][1]} (B)"
        for heading, table in tables(pair):
            yield ""
            yield heading
            labels = 3 if heading.endswith("differ") else 1
            yield from (f"  {line}" for line in (aligned(table, labels) if table else ()))
        if any(pair["drawn"]):
            yield ""
            yield from (f"  {side}  {drawn}" for side, drawn in zip("AB", pair["drawn"]))
        yield ""
    for side in ("first", "second"):
        if result[f"only_{side}"]:
            yield f"only in {result[side]}: {', '.join(result[f'only_{side}'])}"


def tables(pair: Mapping[str, Any]) -> Iterator[tuple[str, list[list[str]]]]:
    """Heading and table, or no table, of each thing compared."""
    for what, equal in (("settings", "settings: none differs"), ("data", "data: the same")):
        differ = pair[what]
        if differ is None:
            yield f"{what}: not compared, a checkpoint's record cannot be read", []
        elif not differ:
            yield equal, []
        else:
            yield f"{what} that differ", _differences(differ)
        if what == "settings":
            for side, names in zip("AB", pair["settings_in_one"] or ()):
                if names:
                    yield f"settings recorded in {side} alone: {', '.join(names)}", []
    for key, unit in (("loss", "nats a token"), ("bits_per_byte", "bits a byte")):
        if pair[key]:
            heading = f"{key.replace('_', ' ')}, {unit}, mean of the steps since the row before"
            yield heading, _curve(pair[key])
        elif key == "loss":
            yield "loss: no step in common", []


def _differences(differ: Mapping[str, tuple[Any, Any]]) -> list[list[str]]:
    return [["", "A", "B"]] + [
        [name, *values] for key, (a, b) in differ.items() for name, *values in _leaves(key, a, b)
    ]


def _leaves(name: str, first: Any, second: Any) -> Iterator[tuple[str, str, str]]:
    """Of values that are dictionaries just the entries that differ."""
    if isinstance(first, dict) and isinstance(second, dict):
        for key in sorted({*first, *second}):
            if first.get(key) != second.get(key):
                yield from _leaves(f"{name}.{key}", first.get(key), second.get(key))
    else:
        yield name, _short(first), _short(second)


def _curve(values: list[dict[str, Any]]) -> list[list[str]]:
    return [["to step", "A", "B", "B − A"]] + [
        [f"{v['step']:,}", number(v["first"], 4), number(v["second"], 4),
         signed(v["second"] - v["first"], 4)]
        for v in values
    ]  # fmt: skip


def _short(value: Any) -> str:
    text = "–" if value is None else str(value)
    return text if len(text) <= 40 else text[:39] + "…"
