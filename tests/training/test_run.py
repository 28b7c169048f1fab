"""Whole runs as a user starts them: real processes, real kills, real mistakes."""

import json
import os
import re
import signal
import subprocess
import textwrap
import time

import numpy as np
import pytest
from helpers import ROOT
from tiny_run import MAIN, train_command, write_run

from codellama_jax.errors import RESTART


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a small corpus and a run's configuration."""
    folder = tmp_path_factory.mktemp("run")
    write_run(folder)
    return folder


def verb(*words):
    return subprocess.run(
        [*MAIN, *map(str, words)], cwd=ROOT, capture_output=True, text=True, timeout=400
    )


def train(place, run, *bindings):
    words = train_command(place, run, *bindings)
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=400)


def parameters(folder):
    """Every array of a phase's last checkpoint, parameters and moments, by name."""
    import jax
    import orbax.checkpoint as ocp

    step = max(int(p.name) for p in (folder / "checkpoints").iterdir() if p.name.isdigit())
    arrays = {}
    for item in ("params", "optimizer"):
        tree = ocp.PyTreeCheckpointer().restore(folder / "checkpoints" / str(step) / item)
        for path, leaf in jax.tree.leaves_with_path(tree):
            arrays[item + jax.tree_util.keystr(path)] = np.asarray(leaf)
    return step, arrays


@pytest.fixture(scope="module")
def undisturbed(place):
    done = train(place, "undisturbed")
    assert done.returncode == 0, done.stderr
    return place / "undisturbed"


def kill_when(place, run, phase, step, number=signal.SIGKILL):
    """`disturb` with a signal."""
    return disturb(place, run, phase, step, lambda process: process.send_signal(number))


def disturb(place, run, phase, step, act, *bindings, before=()):
    """Starts a run, does something when the phase has recorded the step and saved one, and
    returns its exit code and what it said of errors."""
    process = subprocess.Popen(
        [*before, *train_command(place, run, *bindings)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    metrics = place / run / phase / "metrics.jsonl"
    for _ in range(4000):
        recorded = metrics.exists() and metrics.read_text().count('"loss"') >= step
        if recorded and list((place / run / phase).glob("checkpoints/*/digests/0.json")):
            break
        assert process.poll() is None, "the run ended before it could be killed"
        time.sleep(0.05)
    act(process)
    _, said = process.communicate(timeout=100)
    return process.returncode, said


def test_a_run_killed_and_preempted_ends_in_the_same_bits(place, undisturbed):
    code, _ = kill_when(place, "killed", "code", 11)
    assert code == -signal.SIGKILL
    code, said = kill_when(place, "killed", "long", 6, signal.SIGTERM)
    assert code == RESTART
    assert re.fullmatch(r"codellama-jax: interrupted: long: preempted; step \d+ is saved\n", said)
    done = train(place, "killed")
    assert done.returncode == 0, done.stderr
    assert "continues from step" in done.stdout and "code: 30 steps" in done.stdout
    for phase in ("code", "long"):
        step, expected = parameters(undisturbed / phase)
        again, got = parameters(place / "killed" / phase)
        assert step == again and expected.keys() == got.keys()
        for name, array in expected.items():
            np.testing.assert_array_equal(got[name], array, err_msg=f"{phase} {name}")
        curves = []
        for run in ("undisturbed", "killed"):
            lines = (place / run / phase / "metrics.jsonl").read_text().splitlines()
            steps = [json.loads(line) for line in lines]
            curves.append([(s["step"], s["loss"]) for s in steps if "loss" in s])
        assert curves[0] == curves[1]


def test_the_loss_falls_and_the_lineage_tells_the_way(undisturbed):
    lines = (undisturbed / "code" / "metrics.jsonl").read_text().splitlines()
    steps = [json.loads(line) for line in lines if '"loss"' in line]
    losses = [step["loss"] for step in steps]
    for step in steps:
        # Byte-fallback and short pieces alone: a token of this small vocabulary is 1 to 8 bytes.
        bits = step["loss"] / np.log(2)
        assert bits / 8 < step["bits_per_byte"] < bits * 1.1
        tasks = step["task_bits_per_byte"].values()
        assert min(tasks) <= step["bits_per_byte"] * 1.0001 <= max(tasks) * 1.0002
        assert step["skipped"] == 0 and step["parameter_norm"] > 0
    assert len(losses) == 30 and np.mean(losses[-5:]) < np.mean(losses[:5]) - 0.3
    record = json.loads((undisturbed / "long/checkpoints/20/record/metadata").read_text())
    assert [entry["phase"] for entry in record["lineage"]] == ["code", "long"]
    assert record["model"]["rope_base"] == 1e6
    assert record["data"]["step"] == 20
    assert record["data"]["fingerprint"]["mixture"] == "code_llama"
    assert "code_llama" in record["operative_config"]


def test_a_complete_run_is_not_trained_again(place, undisturbed):
    before = {p: p.stat().st_mtime_ns for p in undisturbed.rglob("checkpoints/*")}
    done = train(place, "undisturbed")
    assert done.returncode == 0 and "code: 30 steps, 7,680 tokens is complete" in done.stdout
    assert before == {p: p.stat().st_mtime_ns for p in undisturbed.rglob("checkpoints/*")}


@pytest.mark.parametrize(
    ("bindings", "words"),
    [
        (['RowStream.corpus = "/nowhere"'], ["no corpus at /nowhere", "codellama-jax prepare"]),
        (["code/Phase.stepz = 3"], ["stepz"]),
        (["code/Phase.steps = 'many'"], ["Phase.steps = 'many'", "type int"]),
        (['long/Phase.parent = "base"'], ["'base'", "no phase of this run", "code"]),
        (["code/Phase.batch_size = 3"], ["batch of 3 rows", "2 shards"]),
        (['train.run_dir = "/dev/null"'], ["/dev/null"]),
    ],
)
def test_a_mistake_is_one_line_and_code_2(place, bindings, words):
    done = train(place, "mistake", *bindings)
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("codellama-jax: error: ")
    for word in words:
        assert word in line


def test_changed_settings_do_not_continue_an_old_run(place, undisturbed):
    done = train(place, "undisturbed", "code/Phase.peak_learning_rate = 0.5")
    assert done.returncode == 2
    assert "peak_learning_rate was 0.001, is 0.5" in done.stderr
    done = train(place, "undisturbed", "long/Phase.steps = 21")
    assert done.returncode == 2 and "steps was 20, is 21" in done.stderr


def test_changed_data_is_refused_until_it_is_accepted(place):
    kill_when(place, "changed", "code", 6)
    done = train(place, "changed", "train.seed = 3", "train.accept_changed_data = True")
    assert done.returncode == 2 and "train.seed was 0, is 3" in done.stderr
    done = train(place, "changed", "Infill.rate = 0.5")
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert "encoders changed" in line and "train.accept_changed_data = True" in line
    done = train(place, "changed", "Infill.rate = 0.5", "train.accept_changed_data = True")
    assert done.returncode == 0, done.stderr
    assert "code: accepted that the data from step" in done.stdout
    record = json.loads((place / "changed/code/checkpoints/30/record/metadata").read_text())
    (change,) = record["data"]["changes"]
    assert change["step"] >= 1 and list(change["changed"]) == ["encoders"]
    assert change["changed"]["encoders"]["is"]["code_infill"]["rate"] == 0.5


def test_a_full_disk_is_one_line_and_keeps_the_last_checkpoint(place):
    disk = place / "small"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4M", "tmpfs", str(disk)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("mounting a small disk needs root")
    try:
        done = train(place, "small/run", "PhaseCheckpoints.keep = 100")
        assert done.returncode == 2, done.stderr
        (line,) = done.stderr.strip().splitlines()
        assert line.startswith("codellama-jax: error: ") and "the disk is full" in line
        saved = [p for p in (disk / "run/code/checkpoints").iterdir() if p.name.isdigit()]
        for folder in saved:
            assert json.loads((folder / "record/metadata").read_text())["data"]["step"] > 0
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_lost_permission_is_one_line_and_the_run_continues_when_it_is_back(place, undisturbed):
    saved = place / "locked/code/checkpoints"
    # Root may write anywhere, unless it gives that right up.
    as_others = ["setpriv", "--bounding-set=-dac_override"] if os.geteuid() == 0 else []
    code, said = disturb(
        place, "locked", "code", 4, lambda process: saved.chmod(0o500), before=as_others
    )
    assert code == 2, said
    (line,) = said.strip().splitlines()
    assert line.startswith(f"codellama-jax: error: {saved}") and "no permission" in line
    saved.chmod(0o700)
    done = train(place, "locked")
    assert done.returncode == 0, done.stderr
    assert re.search(r"code: continues from step \d+", done.stdout)
    (_, expected), (_, got) = parameters(undisturbed / "long"), parameters(place / "locked/long")
    for name, array in expected.items():
        np.testing.assert_array_equal(got[name], array, err_msg=name)


@pytest.mark.parametrize(
    ("words", "keys"),
    [
        (["complete", "import "], {"prefix", "completion"}),
        (["infill", "--format=spm", "x = <FILL>\n"], {"text", "middles"}),
        (["chat", "--system=Be brief.", "Hello?"], None),
    ],
)
def test_the_verbs_that_generate(place, undisturbed, words, keys):
    checkpoint = f"--checkpoint={undisturbed / 'long'}"
    few = "--gin_bindings=Sampling.max_new_tokens = 4"
    result = place / f"{words[0]}.json"
    done = verb(words[0], checkpoint, few, f"--json={result}", *words[1:])
    assert done.returncode == 0, done.stderr
    written = json.loads(result.read_text())
    if keys is None:
        assert [m["role"] for m in written] == ["system", "user", "assistant"]
        assert done.stdout.strip() == written[-1]["content"]
    else:
        texts = [value for value in written.values() if isinstance(value, str)]
        assert set(written) == keys and done.stdout == "".join(texts) + "\n"


def test_generation_says_what_is_wrong(place, undisturbed):
    done = verb("infill", f"--checkpoint={undisturbed / 'long'}", "no hole")
    assert done.returncode == 2 and "<FILL>" in done.stderr
    done = verb("complete", f"--checkpoint={place / 'nowhere'}", "x")
    assert done.returncode == 2 and "no weights in" in done.stderr


def test_runs_are_listed_and_compared(place, undisturbed):
    listed = place / "runs.json"
    done = verb("runs", place, f"--json={listed}")
    assert done.returncode == 0, done.stderr
    written = json.loads(listed.read_text())
    code, long = written["runs"][str(undisturbed)]
    assert (code["state"], code["step"], code["steps"], code["tokens"]) == (
        "complete",
        30,
        30,
        7680,
    )
    assert long["parent"] == "code" and long["lineage"] == ["code", "long"]
    assert 0 < code["loss"] < 10 and code["checkpoint_bytes"] > 1000 and not code["damaged"]
    assert f"{place / 'corpus'} is no run" in written["other"]
    done = verb("runs", undisturbed / "code", undisturbed / "long")
    assert done.returncode == 0, done.stderr
    assert "Phase.sequence_length" in done.stdout and "row_length" in done.stdout


def test_a_run_is_evaluated_once_and_reported(place, undisturbed):
    settings = f"""
        evaluate.run_dir = "{undisturbed}"
        evaluate.window = 256
        evaluate.rope_bases = (1e4,)
        heldout_texts.corpus = "{place / "corpus"}"
        heldout_texts.max_bytes = 4000
        heldout_texts.sources = ("code",)
        long_documents.corpus = "{place / "corpus"}"
        long_documents.length = 128
        long_documents.documents = 2
        single_line_holes.corpus = "{place / "corpus"}"
        single_line_holes.holes = 2
        infilling_exact_match.max_new_tokens = 4
        retrieval_prompts.corpus = "{place / "corpus"}"
        retrieval_prompts.examples = 1
        key_retrieval.lengths = (128,)
        key_retrieval.depths = (0.0,)
        functional_correctness.max_new_tokens = 4
        dialogue_loss.corpus = "{place / "corpus"}"
        dialogue_loss.dialogues = 2
        samples.max_new_tokens = 4
        report.run_dir = "{undisturbed}"
        report.corpus = "{place / "corpus"}"
    """
    (place / "evaluation.gin").write_text(textwrap.dedent(settings))
    file = f"--gin_file={place / 'evaluation.gin'}"
    done = verb("evaluate", file)
    assert done.returncode == 0, done.stderr
    assert "code: bits per byte code" in done.stdout
    results = json.loads((undisturbed / "evaluation.json").read_text())
    assert list(results["phases"]) == ["code", "long"]
    assert 0 < results["phases"]["long"]["bits_per_byte"]["code"] < 8
    again = verb("evaluate", file)
    assert again.stdout.count("evaluated already") == 2
    done = verb("report", file)
    assert done.returncode == 0, done.stderr
    for name in ("report.html", "report.md", "report.json"):
        assert (undisturbed / name).stat().st_size > 1000
