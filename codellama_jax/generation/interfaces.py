"""Complete, infill and chat: text in, text out.

model = load_model("runs/quickstart/instruct")
print(complete(model, ["def fibonacci(n):"])[0])
print(infill(model, [("def add(a, b):\\n    return ", "\\n")])[0])
print(chat(model, [[{"role": "user", "content": "Reverse a list in Python."}]])[0])
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import gin
import jax

from codellama_jax.errors import UserError
from codellama_jax.generation.engine import Engine
from codellama_jax.generation.sampling import Sampling
from codellama_jax.model import LlamaConfig, Params
from codellama_jax.parallel import make_mesh
from codellama_jax.text import (
    InfillFormat,
    Message,
    Vocabulary,
    chat_prompt,
    infill_prompt,
    infilled_text,
)
from codellama_jax.weights import config_of, load_params, load_vocabulary, read_record


class Model(NamedTuple):
    """A checkpoint ready to generate."""

    config: LlamaConfig
    params: Params
    vocabulary: Vocabulary

    @property
    def infills(self) -> bool:
        """Whether it has ids for the infilling sentinels; 34B and the Python models have none."""
        v = self.vocabulary
        return max(v.pre_id, v.suf_id, v.mid_id, v.eot_id) < self.config.vocab_size

    def engine(self) -> Engine:
        """A generator over this model."""
        return Engine(self.config, self.params)


@gin.configurable
def load_model(checkpoint: str | Path = gin.REQUIRED) -> Model:
    """The last checkpoint of a phase's folder, with the tokenizer it was trained with.

    Raises UserError when there is none.
    """
    config = config_of(read_record(checkpoint))
    params = load_params(checkpoint, config, make_mesh(devices=jax.devices()[:1], fsdp=1))
    return Model(config, params, load_vocabulary(checkpoint))


def complete(model: Model, prefixes: Sequence[str], sampling: Sampling | None = None) -> list[str]:
    """What the model writes after each prefix, up to eos."""
    v = model.vocabulary
    prompts = [[v.bos_id, *v.encode(prefix)] for prefix in prefixes]
    new = model.engine().generate(prompts, [v.eos_id], sampling or Sampling())
    return [v.decode_continuation(prompt, ids) for prompt, ids in zip(prompts, new)]


def infill(
    model: Model,
    contexts: Sequence[tuple[str, str]],
    infill_format: InfillFormat = InfillFormat.PSM,
    sampling: Sampling | None = None,
) -> list[str]:
    """The middle of each (prefix, suffix), up to EOT; UserError for a model without sentinels."""
    v = model.vocabulary
    if not model.infills:
        raise UserError(
            f"this model has {model.config.vocab_size:,} ids, none for the infilling sentinels:"
            " take one that was trained with infilling"
        )
    prompts = [infill_prompt(v, prefix, suffix, infill_format) for prefix, suffix in contexts]
    new = model.engine().generate(prompts, [v.eot_id, v.eos_id], sampling or Sampling())
    return [infilled_text(v, prefix, ids, infill_format) for (prefix, _), ids in zip(contexts, new)]


def chat(
    model: Model, dialogues: Sequence[Sequence[Message]], sampling: Sampling | None = None
) -> list[str]:
    """The answer to each dialogue's last message, stripped."""
    v = model.vocabulary
    prompts = [chat_prompt(v, messages) for messages in dialogues]
    new = model.engine().generate(prompts, [v.eos_id], sampling or Sampling())
    return [v.decode(ids).strip() for ids in new]
