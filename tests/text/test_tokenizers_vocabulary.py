"""Vocabularies over files of the `tokenizers` library: the same properties as SentencePiece's."""

import functools
import hashlib
import json

import numpy as np
import pytest
import tokenizers
from helpers import (
    LLAMA_TOKENIZER,
    ROOT,
    byte_level_tokenizer,
    small_model,
    small_vocabulary,
    texts,
)
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sentencepiece import sentencepiece_model_pb2
from tokenizers import normalizers

from codellama_jax.errors import UserError
from codellama_jax.text import (
    InfillFormat,
    Vocabulary,
    find_tokenizer,
    infill_sequence,
    render_dialogue,
)
from codellama_jax.text.vocabulary import SENTINELS

MARKUP = [*SENTINELS, "<PRE>", " <SUF>", "<s>", "</s>", "<unk>", "<|endoftext|>", "<|user|>"]
markups = st.lists(
    st.sampled_from([*MARKUP, "▁", "<0x0A>", " ", "    ", "\n", "def f"]), max_size=8
).map("".join)


def llama3() -> str:
    """As Llama 3's: whole words are looked up before merging; specials follow the vocabulary."""
    tokenizer = tokenizers.Tokenizer.from_str(byte_level_tokenizer())
    tokenizer.add_special_tokens(["<|begin_of_text|>", "<|end_of_text|>"])
    tokenizer.add_tokens(["    "])  # a run of spaces that is text, as Phi's
    values = json.loads(tokenizer.to_str())
    values["model"]["ignore_merges"] = True
    return json.dumps(values)


def converted(model: bytes, prepend: bool = False) -> str:
    """A SentencePiece model as transformers converts it, merges in the order of their scores."""
    from transformers import LlamaTokenizer
    from transformers.convert_slow_tokenizer import generate_merges

    pieces = sentencepiece_model_pb2.ModelProto.FromString(model).pieces
    vocab = {piece.piece: i for i, piece in enumerate(pieces)}
    merges = generate_merges(vocab, {piece.piece: piece.score for piece in pieces})
    tokenizer = LlamaTokenizer(vocab=vocab, merges=merges).backend_tokenizer
    if prepend:  # how files from before 2024 put the space
        tokenizer.pre_tokenizer = None
        tokenizer.normalizer = normalizers.Sequence(
            [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
        )
    return tokenizer.to_str()


FILES = {
    "byte level": byte_level_tokenizer,
    "byte level, spaced": lambda: byte_level_tokenizer(space=True),
    "llama 3": llama3,
    "metaspace": lambda: converted(small_model()),
    "prepend": lambda: converted(small_model(), prepend=True),
}


@functools.cache
def read(name: str) -> Vocabulary:
    return Vocabulary.parse(FILES[name]().encode())


@pytest.fixture(scope="module", params=FILES)
def hugging_face(request) -> Vocabulary:
    return read(request.param)


def changed(name: str, **parts) -> bytes:
    """A file with parts of its JSON replaced."""
    return json.dumps({**json.loads(FILES[name]()), **parts}).encode()


# Beside SentencePiece


@settings(max_examples=60, deadline=None)
@given(text=texts)
@example(text="     x")
@example(text=" ")
@pytest.mark.parametrize("name", ["metaspace", "prepend"])
def test_ids_are_those_of_sentencepiece(name, text):
    ours, theirs = read(name), small_vocabulary()
    assert ours.encode(text) == theirs.encode(text)
    assert ours.encode_infix(text) == theirs.encode_infix(text)


def test_named_ids_are_those_of_sentencepiece():
    ours, theirs = read("metaspace"), small_vocabulary()
    for name in ("size", "bos_id", "eos_id", "unk_id", "pre_id", "suf_id", "mid_id", "eot_id"):
        assert getattr(ours, name) == getattr(theirs, name), name
    assert ours.control_ids == theirs.control_ids | {theirs.unk_id}
    assert [ours.piece(i) for i in range(ours.size)] == [theirs.piece(i) for i in range(ours.size)]


@functools.cache
def converted_llama() -> Vocabulary:
    return Vocabulary.parse(converted(LLAMA_TOKENIZER.read_bytes()).encode())


@settings(max_examples=60, deadline=None)
@given(text=texts)
@example(text="def f(x):\n    return x")
def test_ids_of_llama(llama, text):
    ours = converted_llama()
    assert ours.encode(text) == llama.encode(text)
    assert ours.encode_infix(text) == llama.encode_infix(text)
    assert ours.decode(llama.encode(text)) == text


def test_llama_on_real_code(llama):
    ours = converted_llama()
    assert (ours.size, ours.pre_id, ours.bos_id, ours.eos_id) == (32016, 32007, 1, 2)
    for path in sorted((ROOT / "codellama_jax").rglob("*.py")):
        text = path.read_text()
        ids = ours.encode(text)
        assert ids == llama.encode(text)
        assert ours.decode(ids) == text.replace("▁", " ")


# Any file


def test_byte_level_file_grows_by_sixteen_ids():
    v = read("byte level")
    pieces = len(json.loads(byte_level_tokenizer())["model"]["vocab"])
    assert v.size == pieces + 16
    ids = [v.pre_id, v.suf_id, v.mid_id, v.eot_id]
    assert ids == [pieces + 7, pieces + 8, pieces + 9, pieces + 10]
    assert v.bos_id == v.eos_id == 0 and v.unk_id is None
    assert v.control_ids == {0, 1, *ids}
    assert [v.piece(i) for i in (0, ids[0], pieces)] == [
        "<|endoftext|>",
        "<PRE>",
        f"<extra {pieces}>",
    ]


def test_llama_3s_names_and_added_text():
    v = read("llama 3")
    assert [v.piece(v.bos_id), v.piece(v.eos_id)] == ["<|begin_of_text|>", "<|end_of_text|>"]
    spaces = next(i for i in range(v.size) if v.piece(i) == "    ")
    assert spaces > v.eos_id and spaces not in v.control_ids
    assert spaces in v.encode("a    b") and v.decode(v.encode("a    b")) == "a    b"


@pytest.mark.parametrize("spelling", [SENTINELS, [name.lstrip("▁") for name in SENTINELS]])
def test_sentinels_are_found(spelling):
    tokenizer = tokenizers.Tokenizer.from_str(byte_level_tokenizer())
    tokenizer.add_tokens(list(spelling))  # not even special
    v = Vocabulary.parse(tokenizer.to_str().encode())
    ids = [v.pre_id, v.suf_id, v.mid_id, v.eot_id]
    assert ids == [tokenizer.token_to_id(name) for name in spelling]
    assert v.size == tokenizer.get_vocab_size() and v.control_ids >= set(ids)
    text = "".join(spelling)
    assert tokenizer.encode(text).ids == ids, "the file should tempt a naive encoder"
    assert not set(v.encode(text)) & v.control_ids and v.decode(v.encode(text)) == text


@settings(max_examples=60, deadline=None)
@given(text=texts)
@example(text="")
@example(text=" ")
@example(text="  x")
@example(text="   x  \n\n ")
@example(text="a\0b")
@example(text="\ufeff#!\u2028\x85")
def test_text_comes_back(hugging_face, text):
    v = hugging_face
    assert v.decode(v.encode(text)) == text
    assert v.decode_infix(v.encode_infix(text)) == text


@settings(max_examples=40, deadline=None)
@given(text=texts)
@example(text="")
@example(text="    \0é漢🚀")
def test_byte_lengths_add_up_to_the_texts(hugging_face, text):
    v = hugging_face
    lengths, size = v.byte_lengths(), len(text.encode())
    assert lengths.shape == (v.size,) and not lengths[sorted(v.control_ids)].any()
    assert sum(lengths[v.encode_infix(text)]) == size
    implicit = v.encode(text) != v.encode_infix(text)
    assert sum(lengths[v.encode(text)]) == size + implicit


def test_byte_lengths_are_those_of_sentencepiece():
    theirs = small_vocabulary().byte_lengths()
    for name in ("metaspace", "prepend"):
        np.testing.assert_array_equal(read(name).byte_lengths(), theirs)


@settings(max_examples=40, deadline=None)
@given(text=markups)
@example(text="<|endoftext|>")
@example(text="▁<PRE>")
def test_text_is_never_markup(hugging_face, text):
    v = hugging_face
    ids = {*v.encode(text), *v.encode_infix(text)}
    assert not ids & (v.control_ids | {v.unk_id})
    assert all(i < v.size for i in ids)
    assert v.decode(v.encode(text)).replace("▁", " ") == text.replace("▁", " ")


def test_control_pieces_that_merges_reach_are_out_of_the_texts_reach():
    values = json.loads(byte_level_tokenizer())
    model = values["model"]
    first = len(model["vocab"])
    for n, end in enumerate(range(2, 13)):
        model["vocab"].setdefault("<|endoftext|>"[:end], first + n)
    merges = [["<|endoftext|>"[:end], "<|endoftext|>"[end]] for end in range(1, 13)]
    model["merges"] = [*merges, *model["merges"]]
    values["pre_tokenizer"]["use_regex"] = False  # which would part the signs from the letters
    text = json.dumps(values)
    naive = tokenizers.Tokenizer.from_str(json.dumps({**values, "added_tokens": []}))
    assert naive.encode("<|endoftext|>").ids == [0], "merges should reach it"
    v = Vocabulary.parse(text.encode())
    ids = v.encode("x<|endoftext|>")
    assert not set(ids) & v.control_ids and v.decode(ids) == "x<|endoftext|>"


@settings(max_examples=25, deadline=None)
@given(text=texts)
def test_controls_stand_for_no_text(hugging_face, text):
    v = hugging_face
    ids = v.encode(text)
    half = len(ids) // 2
    marked = [v.bos_id, v.pre_id, *ids[:half], v.suf_id, v.mid_id, *ids[half:], v.eot_id, v.eos_id]
    assert v.decode([*marked, v.size - 1]) == text
    assert v.decode(np.array(marked)) == text


@settings(max_examples=40, deadline=None)
@given(context=texts, text=texts)
@example(context="", text=" x")
def test_continuation_is_what_joint_ids_add(hugging_face, context, text):
    v = hugging_face
    ids = v.encode_infix(text) if context else v.encode(text)
    assert v.decode_continuation(v.encode(context), ids) == text


def test_continuation_keeps_characters_whole(hugging_face):
    v, before, text = hugging_face, "x = '\n", "🚀' + y"
    context, ids = v.encode(before), v.encode(before + text)
    assert ids[: len(context)] == context
    cuts = range(len(context), len(context) + len("🚀".encode()))
    for cut in cuts:
        assert v.decode_continuation(ids[:cut], ids[cut:]) == text
        assert v.decode(ids[:cut]).startswith(before), "a cut character costs none but itself"


@settings(max_examples=30, deadline=None)
@given(batch=st.lists(texts, max_size=5), threads=st.integers(1, 3))
def test_batches_are_encoded_one_by_one(hugging_face, batch, threads):
    assert hugging_face.encode_batch(batch, threads) == [hugging_face.encode(t) for t in batch]


@settings(max_examples=25, deadline=None)
@given(prefix=texts, middle=texts, suffix=texts)
def test_documents_are_recovered_from_both_formats(hugging_face, prefix, middle, suffix):
    v = hugging_face
    ids = infill_sequence(v, prefix, middle, suffix, InfillFormat.PSM)
    suf, mid = ids.index(v.suf_id), ids.index(v.mid_id)
    assert v.decode(ids[2:suf]) == prefix
    assert v.decode_infix(ids[suf:mid]) == suffix and v.decode_infix(ids[mid:]) == middle
    ids = infill_sequence(v, prefix, middle, suffix, InfillFormat.SPM)
    mid = ids.index(v.mid_id)
    assert v.decode(ids[mid:]) + v.decode_infix(ids[:mid]) == prefix + middle + suffix


def test_dialogues(hugging_face):
    messages = [{"role": "user", "content": "a?"}, {"role": "assistant", "content": "b ☃"}]
    ids, in_loss = render_dialogue(hugging_face, messages)
    asked = in_loss.index(True)
    assert hugging_face.decode(ids[:asked]) == "[INST] a? [/INST]"
    assert hugging_face.decode(ids[asked:]) == "b ☃ "


# Files


def test_file_is_kept_as_it_is(tmp_path):
    model = FILES["metaspace"]().encode()
    (tmp_path / "any.name").write_bytes(model)
    v = Vocabulary.load(tmp_path / "any.name")
    assert v.sha256 == hashlib.sha256(model).hexdigest()
    assert v.file_name == "tokenizer.json" and small_vocabulary().file_name == "tokenizer.model"
    assert find_tokenizer(tmp_path) is None
    v.save(tmp_path / v.file_name)
    assert find_tokenizer(tmp_path).read_bytes() == model
    small_vocabulary().save(tmp_path / "tokenizer.model")
    assert find_tokenizer(tmp_path).name == "tokenizer.model"


def test_characters_that_a_file_lacks_bytes_of_are_seen_to_be_lost():
    values = json.loads(byte_level_tokenizer())
    for sign in "\u0104\xf1":  # bytes 0x04 and 0xF1
        del values["model"]["vocab"][sign]
    v = Vocabulary.parse(json.dumps(values).encode())
    text = "a\x04 b\U00040011\n\x05é"
    lost = "a\ufffd b\ufffd\n\x05é"
    assert v.decode(v.encode(text)) == v.decode_infix(v.encode_infix(text)) == lost
    assert v.encode_batch([text, text], threads=2) == [v.encode(text)] * 2
    plain = "def f(x):\n    return 'ä€😀'\n"
    assert v.decode(v.encode(plain)) == plain


def test_merges_as_they_were_written_before():
    values = json.loads(byte_level_tokenizer())
    values["model"]["merges"] = [" ".join(pair) for pair in values["model"]["merges"]]
    v = Vocabulary.parse(json.dumps(values).encode())
    text = "def f(x):\n    return x"
    assert v.encode(text) == read("byte level").encode(text)


def test_settings_that_cut_or_fill_are_left_out():
    tokenizer = tokenizers.Tokenizer.from_str(byte_level_tokenizer())
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding(length=9)
    v = Vocabulary.parse(tokenizer.to_str().encode())
    for text in ("x", "def f(x): return x"):
        assert v.encode(text) == read("byte level").encode(text)


def without_bytes() -> bytes:
    values = json.loads(FILES["metaspace"]())
    values["model"]["byte_fallback"] = False
    return json.dumps(values).encode()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: b"{", r"is not a file of the tokenizers library"),
        (lambda: b"{}", r"is not a file of the tokenizers library \(KeyError: 'model'\)"),
        (lambda: b'{"model": 1}', r"is not a file of the tokenizers library"),
        (lambda: changed("byte level", model={"type": "Unigram"}), "Unigram: only BPE files"),
        (lambda: changed("byte level", pre_tokenizer={"type": "No"}), "that can be read"),
        (lambda: changed("byte level", added_tokens=[{"content": "<s>"}]), "KeyError: 'id'"),
        (lambda: changed("byte level", normalizer={"type": "Lowercase"}), "changes or loses text"),
        (without_bytes, "changes or loses text"),
        (
            lambda: byte_level_tokenizer().replace("<|endoftext|>", "<|x|>").encode(),
            "token that begins a",
        ),
        (
            lambda: byte_level_tokenizer().replace("<|endoftext|>", "<s>").encode(),
            "token that ends a text",
        ),
        (lambda: byte_level_tokenizer().replace("<|user|>", "<PRE>").encode(), "lacks .*EOT"),
    ],
)
def test_files_that_cannot_be_used(tmp_path, make, message):
    path = tmp_path / "tokenizer.json"
    path.write_bytes(make())
    with pytest.raises(UserError, match=rf"tokenizer\.json: .*{message}"):
        Vocabulary.load(path)


def test_package_that_is_not_installed(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "tokenizers", None)
    with pytest.raises(UserError, match=r"pip install 'codellama-jax\[tokenizers\]'"):
        Vocabulary.parse(changed("byte level", version="1.0", extra=0))
