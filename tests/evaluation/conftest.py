"""A small corpus from the standard library, and a small untrained model over its tokenizer."""

import sysconfig
from pathlib import Path

import helpers  # noqa: F401  (virtual devices)
import pytest

STDLIB = Path(sysconfig.get_paths()["stdlib"])


@pytest.fixture(scope="session")
def corpus(tmp_path_factory) -> str:
    from codellama_jax.corpus import prepare

    output = str(tmp_path_factory.mktemp("corpus") / "corpus")
    roots = [str(STDLIB / name) for name in ("json", "email", "logging", "unittest")]
    prepare(output_dir=output, roots=roots, vocab_size=512, workers=1, heldout_fraction=0.2)
    return output


@pytest.fixture(scope="session")
def model(corpus):
    from codellama_jax.generation import Model
    from codellama_jax.model import LlamaConfig, init_params
    from codellama_jax.text import Vocabulary

    config = LlamaConfig(
        vocab_size=512,
        dim=32,
        num_layers=2,
        num_heads=2,
        num_kv_heads=1,
        ffn_dim=64,
        dtype="float32",
        attention_block=128,
    )
    return Model(config, init_params(config, 0), Vocabulary.load(f"{corpus}/tokenizer.model"))
