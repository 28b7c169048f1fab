"""Holes, keys and programs: what is asked of a model is what the documents say."""

import numpy as np
import pytest

from codellama_jax.data import Records
from codellama_jax.evaluation.functional import functional_correctness
from codellama_jax.evaluation.infilling import infilling_exact_match, single_line_holes
from codellama_jax.evaluation.programs import load_problems
from codellama_jax.evaluation.retrieval import key_retrieval, retrieval_prompts
from codellama_jax.evaluation.samples import samples
from codellama_jax.evaluation.sandbox import available


def test_a_hole_is_one_line_of_its_document(corpus):
    holes = single_line_holes(corpus=corpus, holes=7)
    records = Records(corpus, "python", "heldout")
    texts = {records[n]["path"]: records[n]["text"] for n in range(len(records))}
    assert len(holes) == 7
    for hole in holes:
        assert hole.prefix + hole.line + hole.suffix == texts[hole.path]
        assert hole.line.strip() and "\n" not in hole.line.strip() and hole.prefix[-1] == "\n"
        assert hole.line.endswith("\n") or not hole.suffix
    assert holes == single_line_holes(corpus=corpus, holes=7)
    everything = single_line_holes(corpus=corpus, holes=10**6)
    assert everything[:7] == holes and len(set(everything)) == len(everything) < 10**6


def test_exact_match_counts_what_it_shows(model, corpus):
    holes = single_line_holes(corpus=corpus, holes=6)
    result = infilling_exact_match(model, holes, max_new_tokens=4)
    for per_format in (result["psm"], result["spm"]):
        assert per_format["holes"] == 6 and 0 <= per_format["exact_match"] <= 1
        for example in per_format["examples"]:
            assert example["exact"] == (example["middle"].strip() == example["line"].strip())
        assert per_format["exact_match"] <= per_format["first_line"]


@pytest.mark.parametrize("depth", [0.0, 0.4, 1.0])
def test_the_key_stands_where_it_is_asked_for(model, corpus, depth):
    v = model.vocabulary
    for ids, key in retrieval_prompts(v, 600, depth, corpus=corpus, examples=3):
        text = v.decode(ids)
        needle = f"def my_function() -> int:\n    return {key}\n"
        assert text.count(needle) == 1 and text.endswith("assert my_function() == ")
        assert 500 < len(ids) <= 610 and ids.count(v.bos_id) == 1
        before = len(v.encode(text[: text.index(needle)]))
        assert abs(before / len(ids) - depth) < 0.15


def test_cells_of_key_retrieval(model, corpus):
    import gin

    gin.bind_parameter("retrieval_prompts.corpus", corpus)
    gin.bind_parameter("retrieval_prompts.examples", 2)
    try:
        cells = key_retrieval(model, lengths=(128,), depths=(0.0, 0.5))
    finally:
        gin.clear_config()
    assert [(c["length"], c["depth"], c["examples"]) for c in cells] == [
        (128, 0.0, 2),
        (128, 0.5, 2),
    ]


def test_an_untrained_model_passes_no_program(model):
    result = functional_correctness(model, max_new_tokens=4)
    if available():
        assert result == {"not_run": available()}
        return
    assert result["pass@1"] == 0.0 and result["samples"] == len(load_problems())


def test_samples_stand_beside_their_prompts(model):
    shown = samples(
        model, prefixes=("x",), contexts=(("a", "b"),), questions=("q",), max_new_tokens=2
    )
    assert shown["completions"][0]["prompt"] == "x"
    assert set(shown["infills"][0]) == {"prefix", "suffix", "text"}
    assert np.size(shown["answers"]) == 1
