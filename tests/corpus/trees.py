"""Synthetic source trees: varied, deterministic, and large enough to train a small tokenizer."""

import random
from pathlib import Path

VERBS = ("load", "save", "parse", "render", "merge", "split", "count", "filter", "encode", "decode")
NOUNS = ("table", "record", "matrix", "buffer", "shard", "token", "header", "packet", "schedule")


def python_module(seed: int, functions: int = 4) -> str:
    """A module with documented functions; some have doctests. Modules of other seeds differ."""
    rng = random.Random(seed)
    parts = [f'"""Tools of batch {seed} that {rng.choice(VERBS)} every {rng.choice(NOUNS)}."""\n']
    for i in range(functions):
        verb, noun, other = rng.choice(VERBS), rng.choice(NOUNS), rng.choice(NOUNS)
        a, b = rng.randrange(2, 90), rng.randrange(2, 90)
        name = f"{verb}_{noun}_{seed}_{i}"
        body = rng.choice(
            [
                f"    total = {a} * {other}\n    return total + {b}\n",
                f"    for step in range({b}):\n        {other} = {other} + step % {a}\n"
                f"    return {other}\n",
                f"    if {other} > {a}:\n        return {other} - {b}\n    return {other} // 2\n",
            ]
        )
        example = f"\n    >>> isinstance({name}(1), int) or not {name}\n    True\n" if i % 2 else ""
        parts.append(
            f'def {name}({other}):\n    """{verb.title()} the {noun} number {a} of the {other}'
            f" and return what is left of it after {b} steps.\n{example}"
            f'    """\n{body}'
        )
    return "\n\n".join(parts)


def header(seed: int) -> str:
    """A C header unlike those of other seeds."""
    rng = random.Random(seed)
    lines = [f"#ifndef H{seed}\n#define H{seed}"]
    for i in range(14):
        verb, noun, other = rng.choice(VERBS), rng.choice(NOUNS), rng.choice(NOUNS)
        lines.append(f"int {verb}_{noun}{seed}_{i}(struct {other} *{other}, int n{i + seed});")
    return "\n".join([*lines, "#endif\n"])


def prose_text(seed: int) -> str:
    """English-looking sentences unlike those of other seeds."""
    rng = random.Random(seed)
    return "\n".join(
        f"The {rng.choice(NOUNS)} of the {rng.choice(NOUNS)} is used to {rng.choice(VERBS)} and"
        f" {rng.choice(VERBS)} a {rng.choice(NOUNS)} for section {seed} in {rng.choice(NOUNS)}."
        for _ in range(12)
    )


def make_tree(root: Path, modules: int = 120) -> Path:
    """A root with modules, headers, documentation and prose."""
    for i in range(modules):
        package = root / f"package{i % 5}"
        package.mkdir(parents=True, exist_ok=True)
        (package / f"module{i}.py").write_text(python_module(i))
        if i % 3 == 0:
            (package / f"header{i}.h").write_text(header(i))
        if i % 6 == 0:
            (package / f"guide{i}.md").write_text(f"# Guide {i}\n\n{prose_text(i)}\n")
            (package / f"notes{i}.txt").write_text(prose_text(1000 + i))
    return root
