import pytest
from helpers import LLAMA_TOKENIZER, small_vocabulary

from codellama_jax.text import Vocabulary


@pytest.fixture(scope="session")
def small() -> Vocabulary:
    return small_vocabulary()


@pytest.fixture(scope="session")
def llama() -> Vocabulary:
    """The genuine Llama 2 tokenizer, which its licence keeps out of this repository."""
    if not LLAMA_TOKENIZER.exists():
        pytest.skip("the Llama 2 tokenizer is not on this machine")
    return Vocabulary.load(LLAMA_TOKENIZER)


@pytest.fixture(scope="session", params=["small", "llama"])
def vocabulary(request) -> Vocabulary:
    return request.getfixturevalue(request.param)
