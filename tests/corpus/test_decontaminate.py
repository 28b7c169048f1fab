import gzip
import json

import gin
import helpers
import pytest

from codellama_jax.corpus import prepare, read_shard
from codellama_jax.corpus.decontaminate import (
    DecontaminateSettings,
    Matcher,
    decontaminate,
    words,
)
from codellama_jax.corpus.document import Document
from codellama_jax.corpus.drops import Drops
from codellama_jax.corpus.evaluation_sets import read_evaluation_sets
from codellama_jax.errors import UserError

from .trees import make_tree, prose_text, python_module

HUMANEVAL = helpers.SHARED / "data/humaneval/HumanEval.jsonl.gz"
MBPP = helpers.SHARED / "data/mbpp/mbpp.jsonl"
TASK = {
    "task_id": "Made/0",
    "prompt": "def running_totals(prices):\n"
    '    """Add up the prices so far and give every total on the way, the first price first."""\n',
    "canonical_solution": "    totals = []\n    current = 0\n    for price in prices:\n"
    "        current += price\n        totals.append(current)\n    return totals\n",
    "test": "def check(candidate):\n    assert candidate([1, 2]) == [1, 3]\n",
}


def sets_of(**changes):
    settings = DecontaminateSettings(**changes)
    read = (settings.packaged, settings.files, settings.fields, settings.task_field)
    return read_evaluation_sets(*read), settings


@pytest.fixture
def made(tmp_path):
    path = tmp_path / "made.jsonl"
    path.write_text(json.dumps(TASK) + "\n")
    return path


def tasks_in(text, sets, settings):
    return [(of.name, task) for of, task, _ in Matcher(sets, settings).matches([text])[0]]


def test_words_do_not_depend_on_how_names_are_written():
    expected = ["has", "close", "elements", "2", "http", "server"]
    for text in ("hasCloseElements2 HTTPServer", "has_close_elements(2)\n\t# HTTP-server"):
        assert words(text) == expected
    assert words("HAS_CLOSE déjà 漢字 \ud800\0") == ["has", "close", "d", "é", "j", "à", "漢字"]


def test_the_bundled_problems_are_looked_for_by_default():
    sets, settings = sets_of()
    assert [of.file for of in sets] == ["evaluation/problems/problems.jsonl"]
    matcher = Matcher(sets, settings)
    for record in map(json.loads, _bundled_lines()):
        found = matcher.matches(
            ["", python_module(1) + record["prompt"] + record["canonical_solution"]]
        )
        assert record["task_id"] in [task for _, task, _ in found[1]] and not found[0]
    for seed in range(40):
        assert matcher.matches([python_module(seed, functions=20) + prose_text(seed)]) == [[]]


def _bundled_lines():
    path = helpers.ROOT / "codellama_jax/evaluation/problems/problems.jsonl"
    return path.read_text().splitlines()


@pytest.mark.parametrize(
    "text",
    [
        TASK["canonical_solution"],
        TASK["prompt"].upper(),
        TASK["canonical_solution"].replace("    ", "\t").replace("\n", "\r\n"),
        "\n".join(f"// {line}" for line in TASK["canonical_solution"].split("\n")),
        TASK["prompt"].replace("running_totals", "runningTotals"),
        TASK["prompt"].replace("Add up", "Sum"),
    ],
    ids=["solution alone", "case", "white space", "commented out", "camel case", "two words"],
)
def test_a_task_is_found_however_it_is_written(made, text):
    sets, settings = sets_of(packaged=None, files=[str(made)])
    around = python_module(5)
    assert tasks_in(f"{around}\n{text}\n{around}", sets, settings) == [("made.jsonl", "Made/0")]


def test_settings_decide(made):
    half = TASK["canonical_solution"].partition("totals.append")[0] + "print(price)\n"
    text = python_module(2) + half
    for share, expected in ((0.01, [("made.jsonl", "Made/0")]), (0.9, [])):
        sets, settings = sets_of(packaged=None, files=[str(made)], share=share, ngram_tokens=8)
        assert tasks_in(text, sets, settings) == expected
    # The test has ten words: an n-gram of its own, unless that is called too short.
    for least, expected in ((8, [("made.jsonl", "Made/0")]), (13, [])):
        sets, settings = sets_of(packaged=None, files=[str(made)], min_tokens=least)
        assert tasks_in(TASK["test"], sets, settings) == expected
    sets, settings = sets_of(
        packaged=None, files=[str(made)], fields=["test"], min_tokens=13, task_field="entry_point"
    )
    _, report = decontaminate({}, sets, settings, Drops())
    assert report["sets"][0]["too_short"] == report["sets"][0]["tasks"] == 1
    assert sets[0].tasks[0].name == "line 1"


def test_a_task_cut_across_two_texts_is_in_neither(made):
    sets, settings = sets_of(packaged=None, files=[str(made)], fields=["canonical_solution"])
    half = len(TASK["canonical_solution"]) // 2
    texts = [TASK["canonical_solution"][:half], TASK["canonical_solution"][half:]]
    matcher = Matcher(sets, settings)
    assert matcher.matches(texts) == [[], []]
    assert [len(found) for found in matcher.matches(["x", "".join(texts), "x"])] == [0, 1, 0]


def test_a_document_in_two_sources_is_counted_once(made):
    sets, settings = sets_of(packaged=None, files=[str(made)])
    bad = Document(python_module(1) + TASK["canonical_solution"], "x/bad.py", "python", "code")
    good = Document(python_module(2), "x/good.py", "python", "code")
    drops = Drops()
    kept, report = decontaminate(
        {"code": [bad, good], "python": [bad, good]}, sets, settings, drops
    )
    assert kept == {"code": [good], "python": [good]}
    assert drops.table()["code"]["overlaps made.jsonl"]["documents"] == 1
    assert report["removed"] == [
        {
            "path": "x/bad.py",
            "source": "code",
            "bytes": bad.size,
            "matches": [{"file": str(made), "task": "Made/0", "share": 1.0}],
        }
    ]


def planted_corpus(tmp_path, files, solutions):
    """The manifest and the kept paths of a corpus in whose tree solutions are planted."""
    root = make_tree(tmp_path / "library", modules=60)
    for name, solution in solutions.items():
        (root / "package0" / name).write_text(f"{python_module(900 + len(name))}\n\n{solution}\n")
    gin.bind_parameter("corpus.DecontaminateSettings.files", [str(file) for file in files])
    output = tmp_path / "out"
    arguments = {"roots": [str(root)], "vocab_size": 420, "workers": 1}
    manifest = prepare(str(output), **arguments)
    kept = {
        record["path"]
        for source in ("code", "python", "nl_code", "dialogues")
        for shard in sorted((output / source).glob("*.array_record"))
        for record in read_shard(shard)
    }
    return manifest, kept, arguments


def test_prepare_drops_what_is_planted_and_names_it(tmp_path, made):
    manifest, kept, arguments = planted_corpus(
        tmp_path, [made], {"leak.py": TASK["prompt"] + TASK["canonical_solution"]}
    )
    removed = manifest["decontamination"]["removed"]
    assert "library/package0/leak.py" in [row["path"] for row in removed]
    assert {match["task"] for row in removed for match in row["matches"]} == {"Made/0"}
    assert not any(path.endswith(("leak.py", "running_totals")) for path in kept)
    assert any("module1.py" in path for path in kept)
    by_reason = manifest["dropped"]["code"]["overlaps made.jsonl"]
    assert by_reason["examples"] == ["library/package0/leak.py"]
    # Another set under the same name is another corpus.
    made.write_text(json.dumps({**TASK, "task_id": "Made/1"}))
    with pytest.raises(UserError, match="evaluation_sets.*made.jsonl is .*delete it"):
        prepare(str(tmp_path / "out"), **arguments)


@pytest.mark.skipif(
    not (HUMANEVAL.exists() and MBPP.exists()), reason="the real HumanEval and MBPP are not here"
)
def test_real_benchmarks_are_found_and_other_code_is_kept(tmp_path):
    with gzip.open(HUMANEVAL) as stream:
        human = [json.loads(line) for line in stream]
    mbpp = [json.loads(line) for line in MBPP.read_text().splitlines()]
    planted = {
        "human.py": human[3]["prompt"] + human[3]["canonical_solution"],
        "solution.py": human[10]["canonical_solution"],
        "mbpp.py": mbpp[0]["code"],
    }
    manifest, kept, _ = planted_corpus(tmp_path, [HUMANEVAL, MBPP], planted)
    removed = manifest["decontamination"]["removed"]
    found = {
        row["path"].rpartition("/")[2]: {match["task"] for match in row["matches"]}
        for row in removed
        if row["source"] == "code"
    }
    assert found == {"human.py": {"HumanEval/3"}, "solution.py": {"HumanEval/10"}, "mbpp.py": {"1"}}
    assert len([path for path in kept if "/module" in path and "#" not in path]) == 60
    assert [of["tasks"] for of in manifest["decontamination"]["sets"]] == [32, 164, 974]

    sets, settings = sets_of(packaged=None, files=[str(HUMANEVAL), str(MBPP)])
    matcher = Matcher(sets, settings)
    for of in sets:
        recalled = sum(
            task.name
            in [name for _, name, _ in matcher.matches(["x = 1\n".join(task.passages)])[0]]
            for task in of.tasks
        )
        assert recalled == len(of.tasks)
    for path in sorted((helpers.ROOT / "codellama_jax").rglob("*.py")):
        assert matcher.matches([path.read_text()]) == [[]], path


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot read the evaluation set .*bad.jsonl: No such file"),
        (b"", "holds no tasks"),
        (b"{\n", "bad.jsonl, line 1: not JSON"),
        (b"\n[1]\n", "bad.jsonl, line 2: not a JSON object"),
        (b'{"a": 1}\n', "none of the fields prompt.* only a are there"),
        (b'\xff"\n', "line 1: not JSON"),
    ],
)
def test_bad_sets_are_user_errors(tmp_path, content, message):
    path = tmp_path / "bad.jsonl"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        sets_of(files=[str(path)])


def test_bad_settings_are_user_errors(tmp_path, made):
    broken = tmp_path / "cut.jsonl.gz"
    broken.write_bytes(gzip.compress(made.read_bytes())[:-12])
    with pytest.raises(UserError, match="cannot read the evaluation set .*cut.jsonl.gz"):
        sets_of(files=[str(broken)])
    with pytest.raises(UserError, match="packaged='nowhere' is no directory"):
        sets_of(packaged="nowhere")
    with pytest.raises(UserError, match=r"share=0: set it within"):
        DecontaminateSettings(share=0)
    with pytest.raises(UserError, match="min_tokens=20: set it from 1 to ngram_tokens"):
        DecontaminateSettings(min_tokens=20)
