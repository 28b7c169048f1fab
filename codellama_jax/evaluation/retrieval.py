"""Key retrieval: a function that returns a number, far back among other functions (table 7)."""

from collections.abc import Sequence
from typing import Any

import gin
import numpy as np

from codellama_jax.data import Records
from codellama_jax.generation import Model, Sampling
from codellama_jax.text import Vocabulary


@gin.configurable
def retrieval_prompts(
    vocabulary: Vocabulary,
    length: int,
    depth: float,
    corpus: str = gin.REQUIRED,
    source: str = "python",
    examples: int = 8,
    seed: int = 0,
) -> list[tuple[list[int], str]]:
    """Prompts of about `length` tokens, and the number each hides at `depth` of its filling.

    The filling is held-out Python documents, whole lines.
    """
    records = Records(corpus, source, "heldout")
    generator = np.random.default_rng([seed, length, int(depth * 100)])
    prompts = []
    for _ in range(examples):
        key = str(generator.integers(10, 100))
        needle = f"def my_function() -> int:\n    return {key}\n\n\n"
        question = "assert my_function() == "
        room = length - len(vocabulary.encode(needle)) - len(vocabulary.encode(question)) - 1
        filling: list[str] = []
        order = generator.permutation(len(records)).tolist()
        for number in order:
            record = records[number]
            filling += (record["text"].rstrip() + "\n\n\n").splitlines(True) if record else []
            if len(vocabulary.encode("".join(filling))) >= room:
                break
        sizes = np.cumsum([len(ids) for ids in vocabulary.encode_batch(filling)])
        lines = filling[: int(np.searchsorted(sizes, room))]
        at = int(np.searchsorted(sizes[: len(lines)], depth * room))
        text = "".join([*lines[:at], needle, *lines[at:], question])
        prompts.append(([vocabulary.bos_id, *vocabulary.encode(text)], key))
    return prompts


@gin.configurable
def key_retrieval(
    model: Model, lengths: Sequence[int] = (512, 1024, 2048), depths: Sequence[float] = (0.0, 0.4)
) -> list[dict[str, Any]]:
    """Share of numbers found, greedily: a cell {"length", "depth", "accuracy", "examples"} each."""
    v = model.vocabulary
    sampling = Sampling(temperature=0.0, max_new_tokens=6)
    cells = []
    for length in lengths:
        for depth in depths:
            prompts = retrieval_prompts(v, length, depth)
            ids = [prompt for prompt, _ in prompts]
            new = model.engine().generate(ids, [v.eos_id], sampling)
            answers = [v.decode_continuation(p, n).strip() for p, n in zip(ids, new)]
            hits = [answer[:2] == key for answer, (_, key) in zip(answers, prompts)]
            accuracy = float(np.mean(hits))
            cells.append(
                {"length": length, "depth": depth, "accuracy": accuracy, "examples": len(hits)}
            )
    return cells
