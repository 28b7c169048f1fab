"""Loss by position in a long document: does the model use, or even survive, long contexts?

Paper section 3.3 and figure 4. The same documents and positions are read under several rotary
bases, which separates what the base does from what fine-tuning does.
"""

from collections.abc import Sequence
from typing import Any

import gin
import numpy as np

from codellama_jax.data import Records
from codellama_jax.evaluation.likelihood import token_losses
from codellama_jax.model import LlamaConfig, Params, replace
from codellama_jax.text import Vocabulary


@gin.configurable
def long_documents(
    vocabulary: Vocabulary,
    corpus: str = gin.REQUIRED,
    source: str = "code",
    length: int = 2048,
    documents: int = 32,
) -> list[list[int]]:
    """The first length + 1 ids, bos included, of held-out documents that have as many.

    Args:
      vocabulary: the tokenizer.
      corpus: directory of a prepared corpus.
      source: of the corpus.
      length: positions scored.
      documents: at most.
    """
    records = Records(corpus, source, "heldout")
    long = [n for n in np.flatnonzero(records.lengths >= length).tolist() if records[n]]
    return [
        [vocabulary.bos_id, *vocabulary.encode(records[n]["text"])][: length + 1]
        for n in long[:documents]
    ]


@gin.configurable
def loss_by_position(
    config: LlamaConfig,
    params: Params,
    sequences: Sequence[Sequence[int]],
    rope_base: float | None = None,
    buckets: int = 16,
) -> dict[str, Any]:
    """Mean loss of equal spans of positions, each token seeing everything before it.

    Args:
      config, params: the model.
      sequences: of one length, from `long_documents`.
      rope_base: instead of the configuration's.
      buckets: spans.

    Returns:
      {"rope_base", "documents", "positions": end of each span, "loss": nats a token,
      "standard_error": of each mean over the documents, "document_loss": the same per document,
      (documents, spans), for paired comparisons}.
    """
    config = replace(config, rope_base=rope_base or config.rope_base)
    length = len(sequences[0]) - 1
    losses = np.stack(token_losses(config, params, sequences, length, batch_size=2))
    spans = [span.mean(axis=1) for span in np.array_split(losses, buckets, axis=1)]
    ends = np.cumsum([len(part) for part in np.array_split(np.arange(length), buckets)])
    return {
        "rope_base": config.rope_base,
        "documents": len(sequences),
        "positions": ends.tolist(),
        "loss": [float(span.mean()) for span in spans],
        "document_loss": np.stack(spans, axis=1).tolist(),
        "standard_error": [float(s.std(ddof=1) / len(s) ** 0.5) for s in spans],
    }
