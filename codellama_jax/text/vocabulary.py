"""The Llama SentencePiece vocabulary with Code Llama's infilling sentinels.

Code Llama appends sixteen pieces to Llama 2's 32,000 (paper section 2.3): the four infilling
sentinels are pieces 7 to 10 of the sixteen. A model file that holds sentinel pieces keeps its own
ids; one that lacks them is grown by sixteen ids, 32000 -> 32016.
"""

import functools
import hashlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import sentencepiece
from sentencepiece import sentencepiece_model_pb2

from codellama_jax.errors import UserError
from codellama_jax.text.chunks import ChunkEncoder, chunks_are_independent

SENTINELS = ("▁<PRE>", "▁<SUF>", "▁<MID>", "▁<EOT>")
GROWTH = 16  # pieces Code Llama adds to a tokenizer that has no sentinels
_FIRST_SENTINEL = 7  # position of ▁<PRE> among the sixteen


class Vocabulary:
    """Text to token ids and back.

    Text is never read as markup: a string that contains "<PRE>" or "<s>" is encoded character by
    character like any other, whatever type its piece has in the model file.

    Attributes:
      size: number of ids, sentinels included.
      bos_id, eos_id, unk_id: the SentencePiece control ids (1, 2, 0 for Llama).
      pre_id, suf_id, mid_id, eot_id: the infilling sentinels.
      sha256: digest of the model file, part of every data fingerprint.
    """

    def __init__(self, model: bytes):
        proto = sentencepiece_model_pb2.ModelProto.FromString(model)
        ids = {piece.piece: i for i, piece in enumerate(proto.pieces)}
        found = [ids.get(name) for name in SENTINELS]
        if all(i is None for i in found):
            first = len(proto.pieces) + _FIRST_SENTINEL
            found = list(range(first, first + len(SENTINELS)))
            self.size = len(proto.pieces) + GROWTH
        elif None in found:
            missing = [n for n, i in zip(SENTINELS, found) if i is None]
            raise UserError(f"tokenizer has some infilling sentinels but lacks {missing}")
        else:
            self.size = len(proto.pieces)
            # In Code Llama's own file the sentinels are NORMAL pieces, so that encoding the text
            # "<PRE>" would forge one. As CONTROL pieces they are out of the text's reach.
            for i in found:
                proto.pieces[i].type = sentencepiece_model_pb2.ModelProto.SentencePiece.CONTROL
        self.pre_id, self.suf_id, self.mid_id, self.eot_id = found
        self._model = model
        self.sha256 = hashlib.sha256(model).hexdigest()
        self._pieces = len(proto.pieces)
        self._spaced = sentencepiece.SentencePieceProcessor(model_proto=proto.SerializeToString())
        independent = chunks_are_independent(proto) and proto.normalizer_spec.add_dummy_prefix
        proto.normalizer_spec.add_dummy_prefix = False
        self._infix = sentencepiece.SentencePieceProcessor(model_proto=proto.SerializeToString())
        self._chunks = ChunkEncoder(self._infix) if independent else None
        self.bos_id, self.eos_id = self._spaced.bos_id(), self._spaced.eos_id()
        self.unk_id = self._spaced.unk_id()
        self.control_ids = frozenset(
            [i for i in range(self._pieces) if self._spaced.is_control(i)] + found
        )

    @classmethod
    def load(cls, path: str | Path) -> "Vocabulary":
        """Reads a SentencePiece `tokenizer.model`; raises UserError when it is not one."""
        try:
            model = Path(path).read_bytes()
        except OSError as error:
            raise UserError(f"cannot read the tokenizer {path}: {error.strerror}") from error
        try:
            return _of_bytes(model)
        except UserError as error:
            raise UserError(f"{path}: {error}") from error
        except Exception as error:  # protobuf and SentencePiece raise several types for a bad file
            raise UserError(f"{path} is not a SentencePiece model ({error})") from error

    def __reduce__(self) -> tuple[Any, ...]:
        return _of_bytes, (self._model,)

    def save(self, path: str | Path) -> None:
        """Writes the model file as it was read."""
        Path(path).write_bytes(self._model)

    def encode(self, text: str) -> list[int]:
        """Ids of `text` with the implicit leading space, without bos or eos."""
        if self._chunks and text:
            return self._chunks.encode(f" {text}")
        return self._spaced.encode(text)

    def encode_infix(self, text: str) -> list[int]:
        """Ids of `text` without the implicit leading space: a suffix or a middle (section 2.3)."""
        return self._chunks.encode(text) if self._chunks else self._infix.encode(text)

    def encode_batch(self, texts: Sequence[str], threads: int = 1) -> list[list[int]]:
        """`encode` of many texts, on `threads` threads without the interpreter lock."""
        return self._spaced.encode(list(texts), num_threads=threads)

    def decode(self, ids: Iterable[int]) -> str:
        """Text of ids that began a text: the implicit leading space is dropped again.

        Control ids and the sentinels stand for no text and are left out.
        """
        return self._spaced.decode(self._textual(ids))

    def decode_infix(self, ids: Iterable[int]) -> str:
        """Text of ids that stand inside a text: a leading space is kept."""
        return self._infix.decode(self._textual(ids))

    def decode_continuation(self, context: Sequence[int], ids: Sequence[int]) -> str:
        """Text that `ids` add to `context`, decoded jointly.

        Joint decoding keeps characters whole whose bytes stand on both sides of the boundary: such
        a character belongs to the text that is added.
        """
        before, joint = self.decode(context), self.decode([*context, *ids])
        # A context that ends within a character decodes to replacement signs that joint has not.
        return joint[len(os.path.commonprefix([before, joint])) :]

    def piece(self, token: int) -> str:
        """Printable form of one id."""
        names = dict(zip((self.pre_id, self.suf_id, self.mid_id, self.eot_id), SENTINELS))
        if token in names:
            return names[token].lstrip("▁")
        return self._spaced.id_to_piece(token) if token < self._pieces else f"<extra {token}>"

    def _textual(self, ids: Iterable[int]) -> list[int]:
        return [i for i in map(int, ids) if i < self._pieces and i not in self.control_ids]


@functools.lru_cache(maxsize=8)
def _of_bytes(model: bytes) -> Vocabulary:
    # By content, not by path: a corpus that is prepared anew has another tokenizer in the same
    # place.
    return Vocabulary(model)
