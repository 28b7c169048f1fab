"""Makes a corpus from record files, stage by stage; continues where it was interrupted."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from codellama_jax.corpus.evaluation_sets import EvaluationSet
from codellama_jax.corpus.files.alone import alone
from codellama_jax.corpus.files.atomic import replacing
from codellama_jax.corpus.files.begun import check_begun
from codellama_jax.corpus.files.plan import PLAN, TOKENIZER, Plan, make_plan
from codellama_jax.corpus.files.settings import ExecutorSettings, FilesSettings
from codellama_jax.corpus.manifest import read_manifest
from codellama_jax.corpus.progress import Progress, megabytes
from codellama_jax.corpus.shards import writing
from codellama_jax.errors import UserError


def prepare_files(
    sources: Mapping[str, Sequence[str]],
    output: Path,
    parameters: dict[str, Any],
    model: bytes | None,
    sets: Sequence[EvaluationSet],
    settings: FilesSettings,
    workers: int | None,
) -> dict[str, Any]:
    """Makes the corpus at `output` and returns its manifest.

    The work is done in `<output>.partial`, which a run that was interrupted leaves behind and the
    next one of the same parameters continues.

    Args:
      sources: {source: places}, see `plan.make_plan`.
      parameters: everything that decides what is in the corpus, as the manifest will hold it;
        of them seed, heldout_fraction and vocab_size are read here.
      model: a tokenizer to use; None to train one.
      sets: the evaluation sets whose tasks must not be in it.

    Raises:
      UserError: nothing to read, a damaged setting, a full disk, another run at work on it, or one
        of other parameters that was interrupted.
    """
    try:
        import datatrove  # noqa: F401
    except ImportError as error:
        raise UserError(
            "prepare.sources needs datatrove: pip install 'codellama-jax[files]'"
        ) from error
    from loguru import logger

    from codellama_jax.corpus.files.executors import run_stages
    from codellama_jax.corpus.files.stages import stages_of

    logger.disable("datatrove")  # in this process; the jobs of a cluster log as they do
    progress, executor = Progress(), ExecutorSettings()
    work = output.absolute().with_name(output.name + ".partial")
    with writing(work):
        work.mkdir(parents=True, exist_ok=True)
    with alone(work, "run", "prepare.output_dir"):
        plan = _plan(sources, parameters, work, settings)
        size = sum(one.size for one in plan.inputs)
        progress.say(f"reading {len(plan.inputs):,} inputs, {megabytes(size)}")
        if model is not None:
            with replacing(work / TOKENIZER) as temporary:
                temporary.write_bytes(model)
        stages = stages_of(plan, work, sets, settings, train_tokenizer=model is None)
        run_stages(stages, work / "logs", executor, workers, progress)
        manifest = read_manifest(work / "corpus")
        removed = len(manifest["decontamination"]["removed"])
        progress.say(f"removed {removed:,} documents that hold tasks of evaluation sets")
        with writing(output):
            (work / "corpus").rename(output)
        shutil.rmtree(work, ignore_errors=True)
    documents = sum(s["documents"] for of in manifest["sources"].values() for s in of.values())
    progress.total(f"wrote {output}, {documents:,} records")
    return manifest


def _plan(
    sources: Mapping[str, Sequence[str]],
    parameters: dict[str, Any],
    work: Path,
    settings: FilesSettings,
) -> Plan:
    """The plan of the run that is continued, or a new one."""
    path = work / PLAN
    if not path.exists():
        for left in work.glob("tree-*.jsonl"):
            left.unlink()
        plan = make_plan(sources, parameters, work, settings)
        plan.save(path)
        return plan
    plan = Plan.load(path)
    check_begun(work, plan.parameters, parameters, "prepare.output_dir")
    return plan
