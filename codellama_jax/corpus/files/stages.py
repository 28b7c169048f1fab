"""The pipeline: which steps follow each other, and what lies where in between.

Each stage's tasks run side by side; a stage begins when the one before is done. A task that was
interrupted is done again, and writes the same files.
"""

from collections.abc import Sequence
from pathlib import Path

from datatrove.pipeline.dedup.exact_dedup import (
    ExactDedupFilter,
    ExactDedupSignature,
    ExactFindDedups,
)
from datatrove.pipeline.dedup.minhash import (
    MinhashDedupBuckets,
    MinhashDedupCluster,
    MinhashDedupFilter,
)

from codellama_jax.corpus.evaluation_sets import EvaluationSet
from codellama_jax.corpus.files.account import Excluded
from codellama_jax.corpus.files.decontaminate import Decontaminate
from codellama_jax.corpus.files.executors import Stage
from codellama_jax.corpus.files.near import Sign, Verify, band_config, exact_config
from codellama_jax.corpus.files.plan import PLAN, TOKENIZER, Plan
from codellama_jax.corpus.files.read import ReadInputs, Select
from codellama_jax.corpus.files.sample import Sample, SideSettings, TrainTokenizer
from codellama_jax.corpus.files.settings import FilesSettings
from codellama_jax.corpus.files.store import ReadStore, WriteStore
from codellama_jax.corpus.files.write import Finish, WriteShards

_FINDERS = 16  # tasks that look for exact duplicates
_BUFFERED = 1024  # signatures of a file read at a time; datatrove's 5 are a system call each


def stages_of(
    plan: Plan,
    work: Path,
    sets: Sequence[EvaluationSet],
    settings: FilesSettings,
    train_tokenizer: bool,
) -> list[Stage]:
    """All stages in order.

    Args:
      work: the folder they work in, on a file system that all tasks share.
      sets: the evaluation sets whose tasks are left out.
    """
    seed, vocab_size = plan.parameters["seed"], plan.parameters["vocab_size"]
    side = SideSettings(seed, plan.parameters["heldout_fraction"])
    drops, store, shards = work / "drops", work / "store", work / "shards"
    removals = work / "removals"
    exact = exact_config()
    bands = band_config(settings.signing, settings.tasks.band_recall)
    finders = min(_FINDERS, plan.tasks)
    names = ("digests", "copies", "bands", "signatures", "pairs", "near", "removed", "sample")
    digests, copies, banded, signatures, pairs, near, removed, sample = (work / n for n in names)
    exact_filter = ExactDedupFilter(str(copies), exact)
    sampling = [Sample(sample, settings.tokenizer.sample_bytes, side)] if train_tokenizer else []
    training = [
        TrainTokenizer(sample, drops, work / TOKENIZER, vocab_size, seed, settings.tokenizer)
    ]
    return [
        Stage(
            "read",
            [
                ReadInputs(work / PLAN, drops, settings.records),
                Select(drops, settings.records, settings.limits),
                # Before the store, so that no later step ever sees what is to be kept out.
                Decontaminate(removals, drops, sets, settings.decontaminate),
                WriteStore(store),
                ExactDedupSignature(str(digests), exact, finders),
            ],
            plan.tasks,
        ),
        Stage(
            "find-exact",
            [ExactFindDedups(str(digests), str(copies), exact, lines_to_buffer=_BUFFERED)],
            finders,
        ),
        Stage(
            "sign",
            [
                ReadStore(store),
                ExactDedupFilter(str(copies), exact, Excluded(drops, "exact", "exact duplicate")),
                *sampling,
                Sign(banded, signatures, settings.signing, bands),
            ],
            plan.tasks,
        ),
        Stage(
            "find-near",
            [
                MinhashDedupBuckets(
                    str(banded), str(pairs), config=bands, lines_to_buffer=_BUFFERED
                ),
                Verify(pairs, signatures, near, settings.signing),
            ],
            bands.num_buckets,
        ),
        Stage(
            "cluster",
            [
                MinhashDedupCluster(str(near), str(removed), bands, lines_to_buffer=_BUFFERED),
                *(training if train_tokenizer else []),
            ],
            1,
        ),
        Stage(
            "write",
            [
                ReadStore(store),
                exact_filter,
                MinhashDedupFilter(str(removed), Excluded(drops, "near", "near duplicate")),
                WriteShards(shards, work / TOKENIZER, side, settings.shards),
            ],
            plan.tasks,
        ),
        Stage(
            "finish",
            [Finish(work / PLAN, drops, removals, shards, work / TOKENIZER, work / "corpus")],
            1,
        ),
    ]
