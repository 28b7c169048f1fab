"""One small corpus, prepared once, and its rows."""

import gin
import helpers  # noqa: F401  (eight virtual devices)
import pytest
from corpus.trees import make_tree, python_module

from codellama_jax.corpus import prepare
from codellama_jax.data import RowStream

ROW = 256


@pytest.fixture(autouse=True)
def _clean_gin():
    yield
    gin.clear_config()


@pytest.fixture(scope="session")
def prepared(tmp_path_factory) -> str:
    """A corpus with documents of every length against ROW, and some that are not ASCII."""
    root = make_tree(tmp_path_factory.mktemp("roots") / "library", modules=60)
    for n in range(60):
        names = ", ".join(f"'{word}{n * 7}'" for word in ("naïve", "日本", "🚀", "zebra"))
        text = python_module(500 + n, functions=1) + f"\n\nNAMES{n} = [{names}]\n"
        (root / f"short{n}.py").write_text(text)
    with gin.unlock_config():
        gin.clear_config()
    output = tmp_path_factory.mktemp("prepared") / "corpus"
    arguments = {"heldout_fraction": 0.1, "vocab_size": 420, "workers": 1}
    prepare(output_dir=str(output), roots=[str(root)], **arguments)
    return str(output)


@pytest.fixture(scope="session")
def stream(prepared) -> RowStream:
    return RowStream("code_llama", ROW, 0, corpus=prepared)
