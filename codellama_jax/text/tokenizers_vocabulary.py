"""The same vocabulary over a Hugging Face `tokenizers` file, for models without SentencePiece.

Such a file (tokenizer.json) states a pipeline: normalizer, pre-tokenizer, BPE, decoder, and added
tokens that are matched in the text before all of them. Here the library encodes by the file's own
pipeline, with three changes, so that text is text and comes back as it was:

  - Control ids are taken out of the library's sight: no text can match them.
  - The implicit leading space is put there by us. Metaspace and ByteLevel leave it out before a
    text that begins with a space; SentencePiece does not, and only so are "x" and " x" two texts.
  - Ids are decoded as bytes. The library's decoders lose whole characters beside a cut one.

Some byte-level files lack bytes that their training text never held (SmolLM's lack some controls
and first bytes of unassigned characters), and the library drops what they cannot spell. Such
characters are read as U+FFFD, so that a loss is seen.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from codellama_jax.errors import UserError
from codellama_jax.text.vocabulary import SENTINELS, STEP, Vocabulary, place_sentinels

# A tokenizer.json does not say which of its special tokens begin and end a text. The names of Llama
# 2, Llama 3, Gemma, DeepSeek and GPT-2, whose one token is both.
_BOS = ("<s>", "<|begin_of_text|>", "<bos>", "<｜begin▁of▁sentence｜>", "<|endoftext|>")
_EOS = ("</s>", "<|end_of_text|>", "<eos>", "<｜end▁of▁sentence｜>", "<|endoftext|>")
_UNKNOWN = "\N{REPLACEMENT CHARACTER}"
_BYTE = re.compile(r"<0x([0-9A-F]{2})>")
_NESTED = ("normalizers", "pretokenizers", "decoders")
# Every byte that UTF-8 can hold, and spaces and line breaks where a pipeline may drop them.
_PROBE = (
    "  x \t\r\n\n "
    + "".join(map(chr, range(0x100)))
    + "".join(map(chr, range(0x111, 0x800, 0x40)))
    + "".join(map(chr, [0x811, *range(0x1011, 0x10000, 0x1000)]))
    + "".join(map(chr, [0x10011, 0x40011, 0x80011, 0xC0011, 0x100011]))
    + "  "
)


class TokenizersVocabulary(Vocabulary):
    """Text to token ids and back, as `Vocabulary` has it, by the BPE of a tokenizer.json.

    Byte-level files (GPT-2, Llama 3) have no implicit leading space, so that `encode` and
    `encode_infix` are the same; Metaspace files (Llama 2) have one. Added tokens that the file does
    not call special, such as runs of spaces, are text.

    Attributes:
      unk_id: None where the file has no such piece.
    """

    def __init__(self, model: bytes):
        values = _parse(model)
        vocab, added = values["model"]["vocab"], values["added_tokens"]
        ids = {**vocab, **{token["content"]: token["id"] for token in added}}
        self._pieces = max(ids.values()) + 1
        named = {name: ids.get(name, ids.get(name.lstrip("▁"))) for name in SENTINELS}
        known = {name: token for name, token in named.items() if token is not None}
        sentinels, self.size = place_sentinels(known, self._pieces)
        self.pre_id, self.suf_id, self.mid_id, self.eot_id = sentinels
        self.bos_id, self.eos_id = _named(ids, _BOS, "begins"), _named(ids, _EOS, "ends")
        self.unk_id = ids.get(values["model"].get("unk_token") or "<unk>")
        self.step_id = ids.get(STEP)
        special = {token["id"] for token in added if token["special"]}
        steps = () if self.step_id is None else (self.step_id,)
        self.control_ids = frozenset({*special, self.bos_id, self.eos_id, *sentinels, *steps})
        self._model = model
        self.sha256 = hashlib.sha256(model).hexdigest()

        textual = {name: i for name, i in ids.items() if i not in self.control_ids}
        plain = [token for token in added if token["content"] in textual]
        self._leading_space, pipeline = _pipeline(values, textual, plain)
        self._tokenizer = _build(pipeline)
        self._names = {i: name for name, i in ids.items()}
        self._bytes = [b""] * self._pieces
        spell = _speller(values)
        for name, i in textual.items():
            self._bytes[i] = spell(name)
        for token in plain:
            self._bytes[token["id"]] = token["content"].encode()
        self._unspelt = _unspelt(values, textual)
        probe = self._spellable(_PROBE)
        if (
            self.decode(self.encode(_PROBE)) != probe
            or self.decode_infix(self.encode_infix(_PROBE)) != probe
        ):
            raise UserError(
                "this tokenizer changes or loses text: choose a byte-level one or one with byte"
                " fallback, without a normalizer that rewrites letters"
            )

    def encode(self, text: str) -> list[int]:
        return self.encode_infix(self._spaced_text(text))

    def encode_infix(self, text: str) -> list[int]:
        return self._tokenizer.encode(self._spellable(text), add_special_tokens=False).ids

    def encode_batch(self, texts: Sequence[str], threads: int = 1) -> list[list[int]]:
        """`encode` of many texts; with more than one thread, on those of the library's own pool.

        The pool has a thread a core, or RAYON_NUM_THREADS of the environment.
        """
        if threads == 1:
            return [self.encode(text) for text in texts]
        spaced = [self._spellable(self._spaced_text(text)) for text in texts]
        batch = self._tokenizer.encode_batch_fast(spaced, add_special_tokens=False)
        return [encoding.ids for encoding in batch]

    def decode(self, ids: Iterable[int]) -> str:
        text = self.decode_infix(ids)
        return text.removeprefix(" ") if self._leading_space else text

    def decode_infix(self, ids: Iterable[int]) -> str:
        spelt = b"".join(self._bytes[i] for i in map(int, ids) if i < self._pieces)
        return spelt.decode("utf-8", "replace")

    def piece(self, token: int) -> str:
        names = dict(zip((self.pre_id, self.suf_id, self.mid_id, self.eot_id), SENTINELS))
        if token in names:
            return names[token].lstrip("▁")
        return self._names.get(token, f"<extra {token}>")

    def _byte_length(self, token: int) -> int:
        return len(self._bytes[token]) if token < self._pieces else 0

    def _spaced_text(self, text: str) -> str:
        return f" {text}" if self._leading_space and text else text

    def _spellable(self, text: str) -> str:
        """The text with U+FFFD for each character that the file has not all bytes of."""
        lacks = self._unspelt
        if lacks is None or not lacks.search(text.encode()):
            return text
        return "".join(_UNKNOWN if lacks.search(sign.encode()) else sign for sign in text)


def _parse(model: bytes) -> dict[str, Any]:
    """The values of the file; UserError when its model is another than BPE."""
    values = json.loads(model)
    if (kind := values["model"].get("type", "BPE")) != "BPE":
        raise UserError(f"the tokenizer's model is {kind}: only BPE files are read")
    return {**values, "added_tokens": values.get("added_tokens") or []}


def _named(ids: Mapping[str, int], names: Sequence[str], does: str) -> int:
    """The id of the first of these names that the file has."""
    found = next((ids[name] for name in names if name in ids), None)
    if found is None:
        raise UserError(
            f"the tokenizer has no token that {does} a text: add one of {', '.join(names)} to it"
        )
    return found


def _pipeline(
    values: Mapping[str, Any], textual: Mapping[str, int], plain: Sequence[Mapping[str, Any]]
) -> tuple[bool, dict[str, Any]]:
    """Whether the file puts a space before a text, and the pipeline without it and without control.

    Args:
      values: of the file.
      textual: ids of all pieces that stand for text.
      plain: added tokens among them.
    """
    spaces: list[bool] = []
    normalizer = _without_space(values.get("normalizer"), spaces)
    pre_tokenizer = _without_space(values.get("pre_tokenizer"), spaces)
    merges = []
    for merge in values["model"]["merges"]:  # "a b" until 0.20, ["a", "b"] since
        pair = merge.split(" ") if isinstance(merge, str) else merge
        if all(name in textual for name in (*pair, "".join(pair))):
            merges.append(merge)
    return any(spaces), {
        **values,
        "truncation": None,
        "padding": None,
        "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": None,
        "decoder": None,
        # Spaces that a match swallows would be lost. The library takes the id from the vocabulary.
        "added_tokens": [{**token, "lstrip": False, "rstrip": False} for token in plain],
        "model": {
            **values["model"],
            "vocab": textual,
            "merges": merges,
            "dropout": None,
            "unk_token": None,
        },
    }


def _without_space(part: Mapping[str, Any] | None, spaces: list[bool]) -> dict[str, Any] | None:
    """A part of the pipeline that puts no space before the text; `spaces` hears whether it did."""
    if part is None:
        return None
    part, kind = dict(part), part["type"]
    if kind == "Prepend" and part["prepend"] in ("▁", " "):
        spaces.append(True)
        return None
    if kind == "Metaspace":
        spaced = part.pop("add_prefix_space", True)
        spaces.append(spaced and part.get("prepend_scheme", "always") != "never")
        part["prepend_scheme"] = "never"
    if kind == "ByteLevel" and "add_prefix_space" in part:
        spaces.append(part["add_prefix_space"])
        part["add_prefix_space"] = False
    for nested in _NESTED:
        if nested in part:
            inner = [_without_space(item, spaces) for item in part[nested]]
            part[nested] = [item for item in inner if item is not None]
    return part


def _speller(values: Mapping[str, Any]) -> Callable[[str], bytes]:
    """The function from a piece's name to the bytes it stands for."""
    if any(part["type"] == "ByteLevel" for part in _parts(values.get("decoder"))):
        return _spell_byte_level
    return _spell_metaspace


def _unspelt(values: Mapping[str, Any], textual: Mapping[str, int]) -> re.Pattern[bytes] | None:
    """Matches the bytes that a byte-level file has no piece of; None where it has all."""
    if _speller(values) is not _spell_byte_level:
        return None
    lacking = bytes(byte for sign, byte in _BYTE_OF.items() if sign not in textual)
    return re.compile(b"[" + re.escape(lacking) + b"]") if lacking else None


def _spell_byte_level(name: str) -> bytes:
    return bytes(_BYTE_OF[sign] for sign in name if sign in _BYTE_OF)


def _spell_metaspace(name: str) -> bytes:
    byte = _BYTE.fullmatch(name)
    return bytes([int(byte[1], 16)]) if byte else name.replace("▁", " ").encode()


def _parts(part: Mapping[str, Any] | None) -> Iterator[Mapping[str, Any]]:
    """A part of the pipeline and all that are nested in it."""
    if part is not None:
        yield part
        for nested in _NESTED:
            for item in part.get(nested, ()):
                yield from _parts(item)


def _byte_signs() -> dict[str, int]:
    """GPT-2's alphabet: printable bytes are themselves, the others follow from U+0100 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(0x100) if byte not in printable]
    return {
        **{chr(byte): byte for byte in printable},
        **{chr(0x100 + n): byte for n, byte in enumerate(others)},
    }


_BYTE_OF = _byte_signs()


def _build(pipeline: Mapping[str, Any]) -> Any:
    try:
        import tokenizers
    except ImportError as error:
        raise UserError(
            "a tokenizer.json is read with the tokenizers package, which is not installed:"
            " pip install 'codellama-jax[tokenizers]'"
        ) from error
    try:
        return tokenizers.Tokenizer.from_str(json.dumps(pipeline))
    except Exception as error:  # the library raises plain Exception for whatever is wrong
        raise UserError(f"this is not a tokenizer.json that can be read ({error})") from error
