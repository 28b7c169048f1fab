"""`codellama-jax convert`: weights from one format into another."""

from pathlib import Path
from typing import Any, Literal

import gin
import jax

from codellama_jax import __version__
from codellama_jax.errors import UserError
from codellama_jax.model import SIZES, LlamaConfig, Params, recognise, replace
from codellama_jax.parallel import make_mesh
from codellama_jax.runs import FOLDER, read_record
from codellama_jax.text import Vocabulary, find_tokenizer
from codellama_jax.weights.checkpoint import config_of, load_params, save_checkpoint
from codellama_jax.weights.gguf import open_gguf
from codellama_jax.weights.hugging_face import CONFIG, open_hugging_face, write_hugging_face
from codellama_jax.weights.meta import SETTINGS, open_meta, write_meta
from codellama_jax.weights.source import Growth, WeightSource, load_source

Format = Literal["codellama-jax", "hugging-face", "meta"]


def open_weights(path: str | Path) -> WeightSource:
    """Another project's weights, by what is there: a Hugging Face or Meta folder or a GGUF file.

    Raises:
      UserError: none of these, or unreadable.
    """
    path = Path(path)
    if path.is_file() and path.suffix == ".gguf":
        return open_gguf(path)
    if (path / SETTINGS).is_file():
        return open_meta(path)
    if (path / CONFIG).is_file():
        return open_hugging_face(path)
    raise UserError(
        f"no weights in {path}: a phase's folder, a Hugging Face folder (config.json), a Meta"
        " folder (params.json) or a .gguf file is wanted"
    )


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
      vocab_size: ids of the result; more than the source has are grown (32000 -> 32016).
      growth: what new rows of embedding and head are: "mean" of the others, or "zeros".
      rope_base: instead of the one that the files state.
      tokenizer: a SentencePiece model or a tokenizer.json; None takes the one beside the source.
      param_dtype: of our checkpoint; other formats have their own setting.
      positions: longest sequence the model is meant for; None takes the published size's.

    Returns:
      what was read and written.

    Raises:
      UserError: files that cannot be read or are of no plain Llama; a target that exists.
    """
    if Path(target).exists():
        raise UserError(f"{target} exists: name another convert.target or delete it")
    mesh = make_mesh()
    if (Path(source) / FOLDER).is_dir():
        record = read_record(source)
        kind, lineage = "codellama-jax", record["lineage"]
        config = replace(config_of(record), param_dtype=param_dtype)
        if vocab_size not in (None, config.vocab_size):
            raise UserError("convert.vocab_size grows imported weights only, not a checkpoint's")
        params = load_params(source, config, mesh)
        beside = find_tokenizer(source)
    else:
        opened = open_weights(source)
        kind, lineage, beside = opened.format, [], opened.tokenizer
        config = replace(
            opened.config,
            vocab_size=vocab_size or opened.config.vocab_size,
            param_dtype=param_dtype,
        )
        params = load_source(opened, config, mesh, growth)
    config = replace(config, rope_base=rope_base or config.rope_base)
    names = recognise(config)
    length = positions or (SIZES[names[0]].length if names else 4096)
    path = Path(tokenizer) if tokenizer else beside
    vocabulary = Vocabulary.load(path) if path else None
    _report(source, kind, config, names, path)
    written = _write(
        target, target_format, config, params, length, vocabulary, path, lineage, source
    )
    print(f"wrote {target}: {', '.join(written)}", flush=True)
    return {
        "source": source,
        "source_format": kind,
        "published_sizes": names,
        "parameters": config.num_parameters,
        "target": target,
        "target_format": target_format,
        "files": written,
    }


def _report(
    source: str, kind: str, config: LlamaConfig, names: list[str], tokenizer: Path | None
) -> None:
    known = f"as {', '.join(names)}" if names else "no published size"
    print(
        f"read {source} ({kind}): {config.num_parameters:,} parameters, {config.vocab_size:,} ids,"
        f" rotary base {config.rope_base:g}; {known}; tokenizer {tokenizer or 'not there'}",
        flush=True,
    )


def _write(
    target: str,
    target_format: Format,
    config: LlamaConfig,
    params: Params,
    length: int,
    vocabulary: Vocabulary | None,
    tokenizer: Path | None,
    lineage: list[dict[str, Any]],
    source: str,
) -> list[str]:
    if target_format == "codellama-jax":
        entry = {
            "phase": Path(target).name,
            "settings": {"name": Path(target).name, "source": source, "sequence_length": length,
                         "rope_base": config.rope_base},
            "seed": None,
            "code_version": __version__,
        }  # fmt: skip
        save_checkpoint(target, config, params, [*lineage, entry], gin.operative_config_str())
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
