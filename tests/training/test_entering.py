"""Starting a phase from weights outside the run, and what is wrong with a run before it starts."""

import json
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import gin
import helpers  # virtual devices
import pytest
from helpers import ROOT

from codellama_jax.errors import UserError
from codellama_jax.generation import infill, load_model
from codellama_jax.model import LlamaConfig, init_params, replace
from codellama_jax.text import Vocabulary
from codellama_jax.training import Phase, read_metrics, train
from codellama_jax.training.entering import check_model, check_vocabulary
from codellama_jax.weights import convert, read_record
from codellama_jax.weights.hugging_face import write_hugging_face

STDLIB = Path(sysconfig.get_paths()["stdlib"])
IDS = 512  # of the corpus's tokenizer; the last four are the sentinels
MODEL = LlamaConfig(
    vocab_size=IDS, dim=32, num_layers=2, num_heads=2, num_kv_heads=1, ffn_dim=64, dtype="float32"
)
CONFIG = """
include "{root}/configs/models/tiny.gin"
make_mesh.fsdp = 2
make_mesh.data = 4
RowStream.corpus = "{place}/corpus"
train.run_dir = "{place}/run"
Phase.batch_size = 8
Phase.sequence_length = 128
Phase.mixture = "code_llama"
Phase.steps = 1
code/Phase.name = "code"
code/Phase.initial_weights = "{place}/theirs"
code/Phase.resize_vocabulary = "mean"
python/Phase.name = "python"
python/Phase.parent = "code"
python/Phase.mixture = "code"
python/Phase.sequence_length = 256
python/Phase.resize_vocabulary = "drop"
python/LlamaConfig.vocab_size = 508
python/make_mesh.data = 2
python/make_mesh.fsdp = 4
train.phases = [@code/Phase(), @python/Phase()]
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A corpus, a run's configuration, and Hugging Face weights with the corpus's tokenizer."""
    from codellama_jax.corpus import prepare

    folder = tmp_path_factory.mktemp("entering")
    roots = [str(STDLIB / name) for name in ("json", "email", "logging", "unittest")]
    prepare(output_dir=str(folder / "corpus"), roots=roots, vocab_size=IDS, workers=1)
    (folder / "run.gin").write_text(CONFIG.format(root=ROOT, place=folder))
    config = replace(MODEL, vocab_size=IDS - 4)
    tokenizer = (folder / "corpus/tokenizer.model").read_bytes()
    write_hugging_face(
        folder / "theirs", config, init_params(config, 1), 128, tokenizer, dtype="float32"
    )
    return folder


@pytest.fixture(autouse=True)
def _clean_gin():
    gin.clear_config()
    yield
    gin.clear_config()


def run(place, name, *bindings):
    gin.clear_config()
    gin.parse_config_files_and_bindings(
        [str(place / "run.gin")], [f'train.run_dir = "{place / name}"', *bindings]
    )
    return train()


def dry_run(place, *bindings):
    words = [sys.executable, "-m", "codellama_jax.main", "train", f"--gin_file={place}/run.gin"]
    words += [f"--gin_bindings={binding}" for binding in bindings]
    words += ["--dry_run", f"--json={place}/dry.json"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=300)
    return done, json.loads((place / "dry.json").read_text())


def test_from_hugging_face_as_from_what_convert_makes_of_it(place):
    run(place, "theirs_run")
    convert(str(place / "theirs"), str(place / "ours"), vocab_size=IDS)
    start = f'code/Phase.initial_weights = "{place / "ours"}"'
    alone = "train.phases = [@code/Phase()]"
    run(place, "ours_run", start, "code/Phase.resize_vocabulary = None", alone)
    one, other = (read_metrics(place / r / "code")[0] for r in ("theirs_run", "ours_run"))
    assert one["step"] == 1 and one["loss"] == other["loss"]
    gin.clear_config()  # the run's mesh
    model = load_model(place / "theirs_run/python")
    with pytest.raises(UserError, match="this model has 508 ids, none for the infilling sentinels"):
        infill(model, [("a", "b")])
    record = read_record(place / "theirs_run/python")
    assert record["model"]["vocab_size"] == IDS - 4
    assert [entry["phase"] for entry in record["lineage"]] == ["theirs", "code", "python"]
    assert record["lineage"][0]["settings"]["format"] == "hugging face"
    assert record["lineage"][0]["settings"]["source"] == str(place / "theirs")
    record = read_record(place / "ours_run/code")
    assert [entry["phase"] for entry in record["lineage"]] == ["ours", "code"]


def test_weights_that_do_not_fit_are_refused(place):
    with pytest.raises(UserError, match=r"508 ids, the phase.s model 512; code/Phase.resize_vocab"):
        run(place, "refused", "code/Phase.resize_vocabulary = None")
    with pytest.raises(UserError, match="ffn_dim 64 instead of 48; set LlamaConfig"):
        run(place, "refused", "LlamaConfig.ffn_dim = 48")
    shutil.copytree(place / "theirs", place / "strange")
    (place / "strange/tokenizer.model").write_bytes(helpers.small_model())
    strange = f'code/Phase.initial_weights = "{place / "strange"}"'
    with pytest.raises(UserError, match=r"is not the tokenizer of the corpus: id \d+ is '"):
        run(place, "refused", strange)


def test_what_differs_is_named_and_ids_change_only_when_asked():
    phase = Phase("code", "m", 1)
    other = replace(MODEL, dim=64, num_layers=3)
    message = "cannot start from there: its model has dim 64 instead of 32, num_layers 3 instead of"
    with pytest.raises(UserError, match=message):
        check_model(phase, "there", other, MODEL)
    check_model(phase, "there", replace(MODEL, rope_base=1e6, remat="full"), MODEL)
    more = replace(MODEL, vocab_size=528)
    with pytest.raises(UserError, match='528 ids, .* 512; code/Phase.resize_vocabulary = "drop"'):
        check_model(phase, "there", more, MODEL)
    check_model(Phase("code", "m", 1, resize_vocabulary="drop"), "there", more, MODEL)


def test_a_model_that_never_infills_does_without_the_sentinels():
    phase, vocabulary = Phase("code", "m", 1), helpers.small_vocabulary()
    size = vocabulary.size
    check_vocabulary(phase, vocabulary, ["code", "nl"], size)
    check_vocabulary(phase, vocabulary, ["code", "nl"], size - 4)
    check_vocabulary(phase, vocabulary, ["code_infill", "nl"], size)
    with pytest.raises(UserError, match="has 400 ids for code_infill, the model 396: set Llama"):
        check_vocabulary(phase, vocabulary, ["code_infill", "nl"], size - 4)
    with pytest.raises(UserError, match="has 396 or 400 ids, the model 500"):
        check_vocabulary(phase, vocabulary, ["code"], 500)


@pytest.mark.skipif(not helpers.LLAMA_TOKENIZER.exists(), reason="no Llama 2 tokenizer at hand")
def test_llama_2s_tokenizer_needs_32000_ids_without_infilling():
    vocabulary = Vocabulary.load(helpers.LLAMA_TOKENIZER)
    assert (vocabulary.size, vocabulary.text_size) == (32_016, 32_000)


def test_a_dry_run_tells_the_graph_and_leaves_no_trace(place):
    done, result = dry_run(place, f'train.run_dir = "{place}/untouched"')
    assert done.returncode == 0, done.stderr
    assert result["problems"] == [] and not (place / "untouched").exists()
    code, python = result["phases"]
    assert (code["tokens"], code["vocab_size"], code["mesh"]["data"]) == (1024, 512, 4)
    assert (python["parent"], python["vocab_size"], python["mesh"]["fsdp"]) == ("code", 508, 4)
    assert code["parameters"] == MODEL.num_parameters
    assert code["parameter_bytes_per_device"] < 4 * MODEL.num_parameters * 0.6
    assert code["state_bytes"] > 12 * MODEL.num_parameters
    assert python["settings"]["LlamaConfig.vocab_size"] == 508
    assert "└─ python" in done.stdout and f"from {place}/theirs" in done.stdout
    assert "nothing stands in its way" in done.stdout


def test_a_dry_run_tells_every_mistake_at_once(place):
    damaged = place / "damaged"
    shutil.copytree(place / "corpus", damaged)
    shard = next((damaged / "code").glob("train-*.array_record"))
    shard.unlink()
    config = replace(MODEL, dim=48, vocab_size=IDS)
    write_hugging_face(place / "wide", config, init_params(config, 1), 128)
    phases = "".join(f", @{name}/Phase()" for name in ("missing", "wrong_ids", "other", "rows"))
    bindings = [f"{n}/Phase.name = {n!r}" for n in ("missing", "wrong_ids", "other", "rows")]
    done, result = dry_run(
        place,
        f"train.phases = [@code/Phase(), @python/Phase(){phases}]",
        *bindings,
        f'RowStream.corpus = "{damaged}"',
        'missing/RowStream.corpus = "/nowhere"',
        "wrong_ids/LlamaConfig.vocab_size = 500",
        f'other/Phase.initial_weights = "{place / "wide"}"',
        "rows/Phase.batch_size = 3",
        'train.run_dir = "/dev/null/run"',
    )
    assert done.returncode == 2
    lines = done.stderr.strip().splitlines()
    assert all(line.startswith("codellama-jax: error: ") for line in lines)
    assert [line.removeprefix("codellama-jax: error: ") for line in lines] == result["problems"]
    wanted = [
        f"{damaged}/code: 1 of ",
        "no corpus at /nowhere",
        "phase 'wrong_ids': the corpus's tokenizer has 512 ids, the model 500",
        f"phase 'other' cannot start from {place / 'wide'}: its model has dim 48 instead of 32",
        "phase 'rows': a batch of 3 rows does not divide",
        "/dev/null is no folder",
    ]
    for words in wanted:
        assert sum(words in line for line in lines) == 1, (words, lines)
    assert len(lines) == len(wanted)
    assert f"{len(wanted)} problems found" in done.stdout
