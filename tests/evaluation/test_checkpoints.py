"""Checkpoints on disk, asked benchmarks by the command line's functions, and their report."""

import json
from pathlib import Path

import gin
import pytest

from codellama_jax.errors import UserError
from codellama_jax.evaluation import evaluate_checkpoints, score_samples
from codellama_jax.evaluation.comparison.report import benchmarks_report
from codellama_jax.evaluation.sandbox import available

SOURCE = Path(__file__).resolve().parents[2] / "codellama_jax"


@pytest.fixture(scope="module")
def checkpoints(model, corpus, tmp_path_factory):
    from codellama_jax.weights import convert
    from codellama_jax.weights.hugging_face import write_hugging_face

    folder = tmp_path_factory.mktemp("checkpoints")
    tokenizer = Path(corpus, "tokenizer.model").read_bytes()
    theirs = folder / "theirs"
    write_hugging_face(theirs, model.config, model.params, 4096, tokenizer, dtype="float32")
    for name in ("first", "second"):
        convert(str(theirs), str(folder / name))
    return folder


@pytest.fixture
def settings(tmp_path):
    record = {
        "task_id": "T/0",
        "prompt": "def f(x):\n",
        "canonical_solution": "    return x\n",
        "test": "def check(candidate):\n    assert candidate(1) == 1\n",
        "entry_point": "f",
    }
    problems = [record, {**record, "task_id": "T/1"}]
    path = tmp_path / "problems.jsonl"
    path.write_text("".join(json.dumps(problem) + "\n" for problem in problems))
    gin.parse_config(f"""
        HumanEval.data = "{path}"
        HumanEval.draws = ((0.0, 1), (0.8, 2))
        HumanEval.max_new_tokens = 4
        Perplexity.data = "{SOURCE / "text"}"
        Perplexity.min_bytes = 2000
        Perplexity.documents = 2
        Perplexity.lengths = (64, 128)
        KeyRetrieval.lengths = (128,)
        retrieval_prompts.data = "{SOURCE / "text"}"
        retrieval_prompts.examples = 2
        score_programs.ks = (1, 2)
    """)
    yield tmp_path
    gin.clear_config()


@pytest.mark.skipif(available() is not None, reason=str(available()))
def test_checkpoints_are_asked_scored_compared_and_not_asked_again(checkpoints, settings, capsys):
    output = settings / "out"
    names = ("humaneval", "perplexity", "key_retrieval", "bold")
    places = [str(checkpoints / name) for name in ("first", "second")]
    results = evaluate_checkpoints(places, names, str(output), published=["Code Llama 7B"])
    first = results["first"]
    assert set(first) == {
        "humaneval-t0", "humaneval-t0.8", "perplexity", "key_retrieval", "bold",
    }  # fmt: skip
    assert "pip install vaderSentiment" in first["bold"]["not_run"]
    assert first["humaneval-t0.8"]["metrics"].keys() == {"pass@1", "pass@2"}
    spans = first["perplexity"]["spans"]
    assert [(s["from"], s["to"]) for s in spans] == [(0, 64), (64, 128)]
    assert all(s["perplexity"] > 1 and s["bits_per_byte"] > 0 for s in spans)
    # The same weights in two folders: the same figures.
    assert first["perplexity"]["metrics"] == results["second"]["perplexity"]["metrics"]
    samples = output / "first/samples/humaneval-t0.8.jsonl"
    assert len(samples.read_text().splitlines()) == 4
    page = (output / "report.html").read_text()
    for text in ("33.5 %", "Code Llama 7B", "pass@2", "vaderSentiment", "<svg", "first", "second"):
        assert text in page
    assert "mathdefault" not in page  # matplotlib's own labels of powers, which nothing sets here
    assert json.loads((output / "report.json").read_text())["checkpoints"].keys() == {
        "first",
        "second",
    }
    assert "33.5 %" in (output / "report.md").read_text()

    before = {p: p.stat().st_mtime_ns for p in output.rglob("results/*") if "bold" not in p.name}
    capsys.readouterr()
    again = evaluate_checkpoints(places[:1], names, str(output))
    assert again == results  # the second is still part of the report
    assert {p: p.stat().st_mtime_ns for p in before} == before
    assert "pass@1" not in capsys.readouterr().out  # nothing was scored

    scored = score_samples(str(samples), "humaneval")
    assert scored["metrics"] == first["humaneval-t0.8"]["metrics"]


@pytest.mark.skipif(available() is not None, reason=str(available()))
def test_samples_are_scored_without_a_model(settings):
    path = settings / "samples.jsonl"
    completions = ["    return x\n", "    return 2\n"]
    lines = [{"task_id": f"T/{n}", "completion": completions[n]} for n in (1, 0)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    result = score_samples(str(path), "humaneval")
    assert result["metrics"]["pass@1"]["value"] == 0.5
    assert result["statuses"] == {"passed": 1, "failed": 1}


def test_mistakes_are_told_before_anything_is_sampled(checkpoints, settings):
    output, place = str(settings / "out"), str(checkpoints / "first")
    with pytest.raises(UserError, match="no benchmark 'humanevil': take one of humaneval, mbpp"):
        evaluate_checkpoints([place], ("humanevil",), output)
    with pytest.raises(UserError, match="Mbpp.data names no data: set it to a path"):
        evaluate_checkpoints([place], ("humaneval", "mbpp"), output)
    with pytest.raises(UserError, match="no checkpoint nowhere"):
        evaluate_checkpoints(["nowhere"], (), output)
    with pytest.raises(UserError, match="measured with the model itself"):
        score_samples("x.jsonl", "perplexity")
    with pytest.raises(UserError, match="no evaluated checkpoint"):
        benchmarks_report(settings / "empty")
    assert not (settings / "out").exists()


def test_the_papers_row_is_known_by_name():
    from codellama_jax.evaluation.benchmarks import BENCHMARKS
    from codellama_jax.evaluation.comparison.results import published_rows

    rows = published_rows(["Code Llama 7B", "Code Llama - Python 70B"])
    assert rows["Code Llama 7B"]["single_line_psm"] == {"exact match": 67.6, "pass@1": 74.1}
    for benchmarks in rows.values():
        assert benchmarks.keys() <= {*BENCHMARKS, "multipl_e"}
    with pytest.raises(UserError, match="no row 'GPT': take one of Llama 2 7B"):
        published_rows(["GPT"])


def test_holes_are_drawn_by_their_spans():
    from codellama_jax.evaluation.comparison.plots import by_length
    from codellama_jax.evaluation.comparison.results import Evaluated

    spans = [
        {"from": start, "items": items, "exact match": 0.25, "pass@1": 0.5}
        for start, items in ((1, 30), (20, 70))
    ]
    results = {"single_line_psm-t0": {"by_length": spans}}
    models = [Evaluated("one", "#2f5d8a", "", results), Evaluated("other", "#c06528", "", {})]
    svg = by_length(models, ["single_line_psm-t0"], "lengths", "by length")
    for text in ("1 to 19", "30 holes", "20 on", "70 holes", "one pass@1", "other exact match"):
        assert text in svg
