"""One small corpus, prepared once for all tests that only read."""

from pathlib import Path

import gin
import pytest

from codellama_jax.corpus import prepare
from codellama_jax.corpus.document import Document
from codellama_jax.corpus.tokenizer import TokenizerSettings, train_tokenizer

from .trees import make_tree, python_module

VOCABULARY = 420


@pytest.fixture(autouse=True)
def _clean_gin():
    yield
    gin.clear_config()


@pytest.fixture(scope="session")
def tree(tmp_path_factory) -> Path:
    root = make_tree(tmp_path_factory.mktemp("roots") / "library")
    # Near copies of a module: another licence header, another comment, a renamed variable.
    original = python_module(7, functions=12)
    (root / "package0" / "original.py").write_text(original)
    (root / "package1" / "relicensed.py").write_text("# Copyright 2020 by Nobody.\n" + original)
    (root / "package2" / "renamed.py").write_text(original.replace("total", "subtotal"))
    (root / "package3" / "exact.py").write_text(original)
    # What must never be collected.
    for name in ("codellama_jax", "torch", "__pycache__"):
        (root / name).mkdir()
        (root / name / "inside.py").write_text(python_module(9000))
    return root


@pytest.fixture(scope="session")
def corpus(tree, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("out") / "corpus"
    with gin.unlock_config():
        gin.clear_config()
    prepare(
        output_dir=str(output),
        roots=[str(tree)],
        heldout_fraction=0.1,
        vocab_size=VOCABULARY,
        workers=1,
    )
    return output


@pytest.fixture
def few_bands():
    """Each band of the signatures is a task, which takes longer than all of a test's documents."""
    gin.bind_parameter("corpus.TaskSettings.band_recall", 0.2)


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory) -> str:
    """For corpora so small that training one would take most of their time."""
    documents = [Document(python_module(i), f"{i}.py", "python", "code") for i in range(60)]
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.model"
    path.write_bytes(train_tokenizer(documents, VOCABULARY, 0, TokenizerSettings()))
    return str(path)
