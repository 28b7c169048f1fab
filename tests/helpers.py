"""What tests of several rooms share. Import this module before anything that starts JAX."""

import functools
import os
from pathlib import Path

# The best code is not worth its compilation for arrays this small: this is 3 to 7 times faster.
# The environment hands it to the programs that tests start, too.
_QUICK = (
    "--xla_backend_optimization_level=0",
    "--xla_llvm_disable_expensive_passes=true",
    "--xla_cpu_use_fusion_emitters=false",
)
os.environ["XLA_FLAGS"] = " ".join([os.environ.get("XLA_FLAGS", ""), *_QUICK]).strip()

import jax  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

# Before JAX looks for its devices: sharded programs need several, and a CPU can pose as eight.
jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 8)
# They share one thread pool, which collectives of several programs under way could exhaust.
jax.config.update("jax_cpu_enable_async_dispatch", False)

ROOT = Path(__file__).resolve().parent.parent
SMALL_VOCABULARY = 400
SHARED = ROOT.parent / "shared"  # real data and weights, where a machine has them
LLAMA_TOKENIZER = SHARED / "data/llama2-tokenizer/tokenizer.model"

# "▁" (U+2581) is how SentencePiece writes a space, so a text that holds one loses it.
characters = st.one_of(
    st.sampled_from(' \n\t\r\0abcdef_()[]<>/:="0123456789é☃☺漢\u200d\U0001f469\U0001f680'),
    st.characters(exclude_categories=["Cs"], exclude_characters="▁"),
)
words = st.sampled_from(
    ["def f(x):\n", "    return x\n", "\t\t", "  ", "\r\n", "<PRE>", "<s>", "</s>", "☺", "[INST]"]
)
texts = st.lists(st.one_of(words, st.text(characters, max_size=8)), max_size=6).map("".join)


@functools.cache
def small_model() -> bytes:
    """A SentencePiece model of SMALL_VOCABULARY ids, trained on the text room's own code."""
    from codellama_jax.corpus.document import Document
    from codellama_jax.corpus.tokenizer import TokenizerSettings, train_tokenizer

    paths = sorted((ROOT / "codellama_jax/text").glob("*.py"))
    documents = [Document(path.read_text(), path.name, "python", "code") for path in paths]
    return train_tokenizer(documents, SMALL_VOCABULARY, 0, TokenizerSettings())


@functools.cache
def small_vocabulary():
    """The vocabulary of `small_model`."""
    from codellama_jax.text import Vocabulary

    return Vocabulary(small_model())


@functools.cache
def byte_level_tokenizer(space: bool = False) -> str:
    """A tokenizer.json with byte-level BPE as GPT-2's, special tokens inside its vocabulary."""
    import tokenizers
    from tokenizers import decoders, models, pre_tokenizers, trainers

    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=space)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=500,
        special_tokens=["<|endoftext|>", "<|user|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    code = [path.read_text() for path in sorted((ROOT / "codellama_jax/text").glob("*.py"))]
    tokenizer.train_from_iterator(code, trainer)
    return tokenizer.to_str()
