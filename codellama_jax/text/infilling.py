"""Fill-in-the-middle: the two sequence formats, for training and for prompts alike.

Paper section 2.3; Bavarian et al. 2022, section 3 and appendices C and D.

  PSM  bos PRE enc(prefix) SUF enc_infix(suffix) MID enc_infix(middle) EOT
  SPM  bos PRE SUF enc_infix(suffix) MID enc(prefix + middle) EOT

In SPM prefix and middle are encoded jointly. A prompt is the same sequence up to the middle.
"""

from collections.abc import Sequence
from enum import StrEnum

import numpy as np

from codellama_jax.text.vocabulary import Vocabulary


class InfillFormat(StrEnum):
    PSM = "psm"
    SPM = "spm"


def infill_prompt(
    vocabulary: Vocabulary, prefix: str, suffix: str, infill_format: InfillFormat
) -> list[int]:
    """Ids after which the model writes the middle, then EOT."""
    v = vocabulary
    tail = [v.suf_id, *v.encode_infix(suffix), v.mid_id]
    if infill_format == InfillFormat.SPM:
        return [v.bos_id, v.pre_id, *tail, *v.encode(prefix)]
    return [v.bos_id, v.pre_id, *v.encode(prefix), *tail]


def infill_sequence(
    vocabulary: Vocabulary, prefix: str, middle: str, suffix: str, infill_format: InfillFormat
) -> list[int]:
    """Ids of a whole training document, from bos to EOT; every one of them carries loss."""
    v = vocabulary
    if infill_format == InfillFormat.SPM:
        return [*infill_prompt(v, "", suffix, infill_format), *v.encode(prefix + middle), v.eot_id]
    prompt = infill_prompt(v, prefix, suffix, infill_format)
    return [*prompt, *v.encode_infix(middle), v.eot_id]


def infilled_text(
    vocabulary: Vocabulary, prefix: str, ids: Sequence[int], infill_format: InfillFormat
) -> str:
    """Text of a generated middle, cut before EOT (or eos, should the model write that)."""
    ends = (vocabulary.eot_id, vocabulary.eos_id)
    cut = next((n for n, token in enumerate(ids) if token in ends), len(ids))
    if infill_format == InfillFormat.SPM:
        return vocabulary.decode_continuation(vocabulary.encode(prefix), ids[:cut])
    return vocabulary.decode_infix(ids[:cut])


def cut_document(
    text: str, generator: np.random.Generator, whole_lines: bool = False
) -> tuple[str, str, str]:
    """Prefix, middle and suffix at two independent cuts.

    Cuts are uniform over the characters, as Code Llama's, or, with `whole_lines`, over the places
    where lines begin and the end (Bavarian et al. 2022, section 3, line level).
    """
    places: list[int] | range = range(len(text) + 1)
    if whole_lines:
        places = [0, *(n + 1 for n, character in enumerate(text) if character == "\n")]
        if places[-1] != len(text):
            places.append(len(text))
    start, stop = sorted(generator.integers(0, len(places), size=2).tolist())
    start, stop = places[start], places[stop]
    return text[:start], text[start:stop], text[stop:]
