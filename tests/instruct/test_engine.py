"""A checkpoint as a teacher: the same answers whatever was answered before, and however batched."""

import gin
import pytest
from helpers import SMALL_VOCABULARY, small_vocabulary

from codellama_jax.generation import Sampling
from codellama_jax.instruct import Ask, EngineTeacher
from codellama_jax.instruct.generate import generate
from codellama_jax.instruct.log import Log
from codellama_jax.model import LlamaConfig, init_params
from codellama_jax.weights.checkpoint import save_checkpoint

CONFIG = LlamaConfig(
    vocab_size=SMALL_VOCABULARY, dim=32, num_layers=2, num_heads=2, num_kv_heads=1, ffn_dim=64,
    dtype="float32", attention_block=128,
)  # fmt: skip
LINEAGE = [{"phase": "none", "settings": {}}]
ASKS = [Ask(f"{n}", f"def f{n % 2}(x):") for n in range(7)]
SAMPLING = Sampling(temperature=1.0, max_new_tokens=8, seed=3)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phase")
    save_checkpoint(folder, CONFIG, init_params(CONFIG, 0), LINEAGE, "")
    small_vocabulary().save(folder / "tokenizer.model")
    return str(folder)


def answers(teacher, asks, path):
    with Log(path) as log:
        return [record["text"] for record in generate("tests", asks, teacher, SAMPLING, log)]


def test_answers_do_not_depend_on_interruptions(checkpoint, tmp_path):
    teacher = EngineTeacher(checkpoint, group=3)
    whole = answers(teacher, ASKS, tmp_path / "whole.jsonl")
    assert len(set(whole[::2])) > 1  # samples of one prompt differ
    assert answers(EngineTeacher(checkpoint, group=7), ASKS, tmp_path / "large.jsonl") == whole
    # A start that ended in the middle of the second call.
    lines = (tmp_path / "whole.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "cut.jsonl").write_bytes(b"".join(lines[:4]) + lines[4][:20])
    assert answers(teacher, ASKS, tmp_path / "cut.jsonl") == whole
    asked = EngineTeacher(checkpoint, dialogue=True, group=3)
    assert answers(asked, ASKS[:3], tmp_path / "chat.jsonl") != whole[:3]
    with gin.unlock_config():
        gin.bind_parameter("Engine.batch_size", 2)
    assert answers(teacher, ASKS, tmp_path / "other.jsonl") == whole
