"""`codellama-jax convert`: weights from one format into another."""

from pathlib import Path
from typing import Any, Literal

import gin
import jax

from codellama_jax.errors import UserError
from codellama_jax.model import LlamaConfig, Params, closest, recognise, replace
from codellama_jax.parallel import make_mesh
from codellama_jax.runs import FOLDER
from codellama_jax.text import Vocabulary
from codellama_jax.weights.checkpoint import save_checkpoint
from codellama_jax.weights.growth import Growth
from codellama_jax.weights.hugging_face import write_hugging_face
from codellama_jax.weights.meta import write_meta
from codellama_jax.weights.origin import load_origin, open_origin, origin_entry

Format = Literal["codellama-jax", "hugging-face", "meta"]


@gin.configurable
def convert(
    source: str = gin.REQUIRED,
    target: str = gin.REQUIRED,
    target_format: Format = "codellama-jax",
    vocab_size: int | None = None,
    growth: Growth = "mean",
    rope_base: float | None = None,
    tokenizer: str | None = None,
    param_dtype: str = "float32",
    positions: int | None = None,
) -> dict[str, Any]:
    """Reads weights of any known format and writes them in another.

    Args:
      source: a phase's folder of ours, a Hugging Face or Meta folder, or a GGUF file.
      target: a folder that is not there yet.
      target_format: "codellama-jax" (a checkpoint that a phase may start from), "hugging-face" or
        "meta".
      vocab_size: ids of the result; more than the source has are grown (32000 -> 32016), of fewer
        the first are taken.
      growth: what new rows of embedding and head are: "mean" of the others, or "zeros".
      rope_base: instead of the one that the files state.
      tokenizer: a SentencePiece model or a tokenizer.json; None takes the one beside the source.
      param_dtype: of our checkpoint; other formats have their own setting.
      positions: longest sequence the model is meant for; None takes what the files state or the
        lineage was trained on, else the published size's.

    Returns:
      what was read and written.

    Raises:
      UserError: files that cannot be read or are of no plain Llama; a target that exists.
    """
    if Path(target).exists():
        raise UserError(f"{target} exists: name another convert.target or delete it")
    origin = open_origin(source)
    config = replace(
        origin.config,
        vocab_size=vocab_size or origin.config.vocab_size,
        param_dtype=param_dtype,
    )
    params = load_origin(origin, config, make_mesh(), growth)
    config = replace(config, rope_base=rope_base or config.rope_base)
    names = recognise(config)
    length = positions or origin.length
    path = Path(tokenizer) if tokenizer else origin.tokenizer
    vocabulary = Vocabulary.load(path) if path else None
    _report(source, origin.format, config, names, path)
    entry = origin_entry(Path(target).name, source, origin.format, config, length)
    lineage = [*origin.lineage, entry]
    written = _write(target, target_format, config, params, length, vocabulary, path, lineage)
    print(f"wrote {target}: {', '.join(written)}", flush=True)
    return {
        "source": source,
        "source_format": origin.format,
        "published_sizes": names,
        "parameters": config.num_parameters,
        "target": target,
        "target_format": target_format,
        "files": written,
    }


def _report(
    source: str, kind: str, config: LlamaConfig, names: list[str], tokenizer: Path | None
) -> None:
    known = f"as {', '.join(names)}" if names else f"no published size{_closest(config)}"
    print(
        f"read {source} ({kind}): {config.num_parameters:,} parameters, {config.vocab_size:,} ids,"
        f" rotary base {config.rope_base:g}; {known}; tokenizer {tokenizer or 'not there'}",
        flush=True,
    )


def _closest(config: LlamaConfig) -> str:
    """What keeps the model from being a published one of its shape."""
    found = closest(config)
    if found is None:
        return ""
    name, fields = found
    differing = (
        f"{field} {getattr(config, field):g} (published: {value:g})"
        for field, value in fields.items()
    )
    return f": {name} but for {', '.join(differing)}"


def _write(
    target: str,
    target_format: Format,
    config: LlamaConfig,
    params: Params,
    length: int,
    vocabulary: Vocabulary | None,
    tokenizer: Path | None,
    lineage: list[dict[str, Any]],
) -> list[str]:
    if target_format == "codellama-jax":
        save_checkpoint(target, config, params, lineage, gin.operative_config_str())
        if vocabulary is None:
            return [FOLDER]
        vocabulary.save(Path(target) / vocabulary.file_name)
        return [FOLDER, vocabulary.file_name]
    if jax.process_count() > 1:
        raise UserError("other projects' formats are written by one process: start convert alone")
    raw = tokenizer.read_bytes() if tokenizer else None
    if target_format == "meta":
        return write_meta(target, config, params, raw)
    special = {"bos": vocabulary.bos_id, "eos": vocabulary.eos_id} if vocabulary else None
    return write_hugging_face(target, config, params, length, raw, special)
