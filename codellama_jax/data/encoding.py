"""From a record to the token sequence the model is trained on.

A sequence begins with bos and ends with eos, or with EOT when it is infilled. A sequence of n + 1
ids takes n positions of a row: position i reads id i and predicts id i + 1.
"""

import hashlib
import threading
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import gin
import numpy as np

from codellama_jax.errors import UserError
from codellama_jax.text import (
    InfillFormat,
    Vocabulary,
    cut_document,
    infill_sequence,
    render_dialogue,
)

Record = Mapping[str, Any]

# What an infilled document takes beside its plain tokens: PRE, SUF and MID, and the tokens that two
# cuts between characters add, on average over both orders (measured on code and prose: 1.2 to 1.5
# with Llama's tokenizer, 1.25 with one of 2,048 pieces; cuts between lines add none).
_SENTINELS, _TOKENS_OF_CUTS = 3, 1.3


class DocumentKey(NamedTuple):
    """Names one visit of one document; all of its random choices follow from it."""

    seed: int
    task: str
    epoch: int
    document: int

    def generator(self) -> np.random.Generator:
        """A counter-based generator as of this visit; good until the thread asks for another.

        Its numbers are those of `Generator(Philox(key=digest))`. To make one takes as long as to
        encode a short document, because numpy first asks the system for entropy; to set one's
        state takes an eighth of that.
        """
        digest = hashlib.blake2b("/".join(map(str, self)).encode(), digest_size=16).digest()
        state = _philox.state
        state["state"]["key"][:] = np.frombuffer(digest, "<u8")
        _philox.generator.bit_generator.state = state
        return _philox.generator


class _Philox(threading.local):
    """A generator for each thread, and the state in which a new one begins."""

    def __init__(self):
        self.generator = np.random.Generator(np.random.Philox(key=0))
        self.state = self.generator.bit_generator.state


_philox = _Philox()


class Sequence(NamedTuple):
    """ids int32 (n + 1,); in_loss bool (n + 1,), whether predicting the id counts.

    left_out: messages of a dialogue, from its oldest on, for which there was no room.
    """

    ids: np.ndarray
    in_loss: np.ndarray
    left_out: int = 0


class Encoder(Protocol):
    """One way to make sequences of records.

    Attributes:
      plain: `encode` gives bos, the tokens of the record's text, eos.
      draws: `encode_whole` makes random choices.
    """

    vocabulary: Vocabulary
    plain: bool
    draws: bool

    def plan(self, tokens: int, row_length: int) -> int:
        """Positions set aside in a row for a document of so many plain tokens."""

    def expected(self, tokens: int, row_length: int) -> float:
        """How many of the positions set aside such a document takes on average."""

    def encode(self, record: Record, row_length: int | None = None) -> Sequence:
        """The sequence whose slices stand in rows when the document is cut."""

    def encode_whole(self, record: Record, key: DocumentKey, positions: int | None) -> Sequence:
        """The sequence of a document that stands whole in a row with so many positions free."""


class LeftToRight:
    """bos text eos."""

    plain, draws = True, False

    def __init__(self, vocabulary: Vocabulary):
        self.vocabulary = vocabulary

    def plan(self, tokens: int, row_length: int) -> int:
        return tokens + 1

    def expected(self, tokens: int, row_length: int) -> float:
        return self.plan(tokens, row_length)

    def encode(self, record: Record, row_length: int | None = None) -> Sequence:
        v = self.vocabulary
        return _all_in_loss([v.bos_id, *v.encode(record["text"]), v.eos_id])

    def encode_whole(self, record: Record, key: DocumentKey, positions: int | None) -> Sequence:
        return self.encode(record)


@gin.configurable
class Infill(LeftToRight):
    """Infilling of documents that stand whole in their row (paper section 2.3).

    Args:
      vocabulary: the tokenizer.
      rate: probability that such a document is infilled.
      psm_share: share of the infilled documents in prefix-suffix-middle order; the others are
        suffix-prefix-middle.
      line_share: share of the infilled documents that are cut between lines. The paper cuts between
        characters only (0); where few documents are seen, too few of those cuts meet a line's end
        for the model to learn when a line that is asked for is done.
      slack: positions set aside beyond the plain tokens: three sentinels, and the tokens that are
        more when a text is encoded in three parts. A document that needs more than its row has
        left stays left-to-right.
    """

    draws = True

    def __init__(
        self,
        vocabulary: Vocabulary,
        rate: float = 0.9,
        psm_share: float = 0.5,
        line_share: float = 0.0,
        slack: int = 6,
    ):
        super().__init__(vocabulary)
        self.rate, self.psm_share, self.slack = rate, psm_share, slack
        self.line_share = line_share

    def plan(self, tokens: int, row_length: int) -> int:
        plain = tokens + 1
        return plain if plain > row_length else min(plain + self.slack, row_length)

    def expected(self, tokens: int, row_length: int) -> float:
        more = _SENTINELS + _TOKENS_OF_CUTS * (1 - self.line_share)
        return min(tokens + 1 + self.rate * more, self.plan(tokens, row_length))

    def encode_whole(self, record: Record, key: DocumentKey, positions: int | None) -> Sequence:
        generator = key.generator()
        if generator.random() >= self.rate:
            return self.encode(record)
        psm = generator.random() < self.psm_share
        lines = self.line_share > 0 and generator.random() < self.line_share
        prefix, middle, suffix = cut_document(record["text"], generator, lines)
        infill_format = InfillFormat.PSM if psm else InfillFormat.SPM
        ids = infill_sequence(self.vocabulary, prefix, middle, suffix, infill_format)
        if positions is not None and len(ids) - 1 > positions:
            return self.encode(record)
        return _all_in_loss(ids)


class Dialogue:
    """A chat in the vocabulary's format, loss on the answers only (paper section 2.5).

    A dialogue longer than a row loses its oldest question-and-answer pairs; one whose last pair
    alone is too long has no sequence.
    """

    plain, draws = False, False

    def __init__(self, vocabulary: Vocabulary):
        self.vocabulary = vocabulary

    def plan(self, tokens: int, row_length: int) -> int:
        return tokens

    def expected(self, tokens: int, row_length: int) -> float:
        return tokens

    def encode(self, record: Record, row_length: int | None = None) -> Sequence:
        messages = list(record["messages"])
        head = messages[:1] if messages and messages[0]["role"] == "system" else []
        turns = messages[len(head) :]
        if not turns:
            raise UserError("a dialogue without a question")
        for left_out in range(0, len(turns), 2):
            rendered = render_dialogue(self.vocabulary, [*head, *turns[left_out:]])
            if row_length is None or len(rendered.ids) - 1 <= row_length:
                ids, in_loss = np.array(rendered.ids, np.int32), np.array(rendered.in_loss)
                return Sequence(ids, in_loss, left_out)
        return Sequence(np.zeros(0, np.int32), np.zeros(0, bool), len(turns))

    def encode_whole(self, record: Record, key: DocumentKey, positions: int | None) -> Sequence:
        return self.encode(record, positions)


def _all_in_loss(ids: list[int]) -> Sequence:
    return Sequence(np.array(ids, np.int32), np.ones(len(ids), bool))
