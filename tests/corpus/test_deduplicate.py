import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codellama_jax.corpus.deduplicate import DeduplicateSettings, Deduplicator, shingles, sign
from codellama_jax.corpus.document import Document

from .trees import python_module

SETTINGS = DeduplicateSettings()
ORIGINAL = python_module(3, functions=12)


def document(text, path="p"):
    return sign(Document(text, path, "python", "code"), SETTINGS)


def jaccard(a, b):
    a, b = set(shingles(a, 5).tolist()), set(shingles(b, 5).tolist())
    return len(a & b) / len(a | b)


@pytest.mark.parametrize(
    "copy",
    [
        "# Copyright 1999 Somebody. All rights reserved.\n# See LICENSE.\n" + ORIGINAL,
        ORIGINAL.replace("    return", "    # done\n    return", 2),
        ORIGINAL.replace("total", "accumulated"),
        "\n\n".join(ORIGINAL.split("\n")),
    ],
    ids=["licence header", "comments", "renamed variable", "white space"],
)
def test_near_copies_are_found(copy):
    assert copy != ORIGINAL and jaccard(ORIGINAL, copy) >= 0.85
    index = Deduplicator(SETTINGS)
    assert index.reason_to_drop(document(ORIGINAL)) is None
    assert index.reason_to_drop(document(copy)) == "near duplicate"


def test_exact_copies_and_distinct_files():
    index = Deduplicator(SETTINGS)
    texts = [python_module(seed) for seed in range(60)]
    assert all(index.reason_to_drop(document(text)) is None for text in texts)
    assert [index.reason_to_drop(document(t)) for t in texts] == ["exact duplicate"] * 60


def test_half_a_file_is_not_a_near_copy():
    half = ORIGINAL[: len(ORIGINAL) // 2]
    index = Deduplicator(SETTINGS)
    assert index.reason_to_drop(document(ORIGINAL)) is None
    assert index.reason_to_drop(document(half)) is None


def test_near_the_threshold_shingles_decide():
    """Estimates from 128 hashes are off by 0.035, so that they alone would be a coin's toss."""
    rng = random.Random(0)
    near = found = 0
    for seed in range(100):
        original = python_module(seed, functions=6)
        lines = original.split("\n")
        for i in rng.sample(range(len(lines)), rng.randrange(2, 9)):
            lines[i] += f"  # note {rng.randrange(10**6)}"
        copy = "\n".join(lines)
        similarity = jaccard(original, copy)
        index = Deduplicator(SETTINGS)
        assert index.reason_to_drop(document(original)) is None
        reason = index.reason_to_drop(document(copy))
        if similarity < 0.8:
            assert reason is None
        elif similarity < 0.9:
            near += 1
            found += reason == "near duplicate"
    assert near > 30 and found >= 0.95 * near


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from(["ab", "c", "d", "(", ")", "\n", "x1"]), max_size=40))
def test_shingles_are_a_set_of_token_runs(words):
    from codellama_jax.corpus.deduplicate import _TOKEN

    text = " ".join(words)
    tokens = _TOKEN.findall(text)
    runs = {tuple(tokens[i : i + 5]) for i in range(max(1, len(tokens) - 4))} if tokens else set()
    values = shingles(text, 5)
    assert len(values) == len(runs)
    assert np.array_equal(values, shingles(f"  {text}\n", 5))


def test_signatures_estimate_jaccard():
    other = ORIGINAL.replace("return", "yield")
    a, b = document(ORIGINAL).signature, document(other).signature
    assert abs(float(np.mean(a == b)) - jaccard(ORIGINAL, other)) < 0.15
