"""Tokens a second that this machine's host side makes for training, beside SentencePiece and seqio.

    python benchmarks/data_throughput.py --corpus corpora/quickstart [--json PATH]
        [--row-length 4096] [--rows 2000]
    python benchmarks/data_throughput.py --minutes 10 [--workers 2]

One run measures, on the same documents: the row stream with tokenising, infilling and packing on
the fly, in a thread and in 1 and 2 processes; SentencePiece alone; a plain seqio pipeline of the
same mixture, packed by seqio itself; rows with stored tokens (prepare.store_token_ids). Then what
it takes to go to step 1,000,000, and the bytes a checkpoint keeps. The corpus is copied, with
stored tokens and without. With --minutes nothing but the loader's memory is measured, minute by
minute while rows are made as fast as they can be.

The encoder remembers lines and words: the first time is with none remembered, as at a run's start,
the second with those of the same rows. Processes start with none. Others that use the machine slow
all of it, so goals are ratios: a share is what a measurement makes for each token of SentencePiece
alone on two threads, and the goals are those shares on the machine that they were set on.
"""

import argparse
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

MIXTURE, PLAIN = "code_llama", "code_llama_left_to_right"
# Tokens a second asked for where SentencePiece alone makes 3.1M on two threads.
ALONE, ON_THE_FLY, STORED, SEQIO = 3.1e6, 1.5e6, 20e6, 0.8e6


class Watch:
    """Measures from when it is made."""

    def __init__(self):
        self.wall, self.cpu = time.perf_counter(), time.process_time()

    def read(self, tokens: int) -> "Speed":
        """Tokens a second since."""
        cpu = time.process_time() - self.cpu
        return Speed(tokens / (time.perf_counter() - self.wall), tokens / cpu)


class Speed(NamedTuple):
    """Tokens a second that passed, and a second that this process computed, in all its threads.

    The second says what the program costs where others use the machine, too.
    """

    wall: float
    cpu: float


def by_sentencepiece(stream, tokens: int, threads: int):
    """Encoding alone, of the documents in the mixture's rows, as many of them from each task."""
    import sentencepiece

    texts, seen, number = [], 0, 0
    while seen < tokens:
        task, place = stream.rows.cycle.locate(number)
        rows = stream.tasks[task]
        for piece in rows.rows[place % len(rows.rows)]:
            if piece.start == 0:
                texts.append(rows.records[piece.document]["text"])
                seen += int(rows.records.lengths[piece.document])
        number += 1
    with tempfile.TemporaryDirectory() as folder:
        stream.vocabulary.save(f"{folder}/tokenizer.model")
        processor = sentencepiece.SentencePieceProcessor(model_file=f"{folder}/tokenizer.model")
    watch = Watch()
    ids = processor.encode(texts, num_threads=threads)
    return watch.read(sum(map(len, ids)))


def loaded(stream, mesh, workers: int, first: int, rows: int):
    """Tokens a second of the loader, from its second batch on: processes have started by then."""
    import numpy as np

    from codellama_jax.data import HostLoader

    batch = 8
    loader = HostLoader(stream, batch, mesh, workers=workers)
    tokens, watch = 0, None
    for arrays in loader.batches(first, first + 1 + rows // batch):
        if watch:
            tokens += int((np.asarray(arrays["segment_ids"]) > 0).sum())
        watch = watch or Watch()
    return watch.read(tokens)


def by_seqio(row_length: int, tokens: int) -> dict[str, Speed]:
    """Tokens a second of seqio's mixture: its documents, and the rows its feature converter makes.

    The tasks are this package's, their texts encoded by SentencePiece as seqio's own vocabulary
    would. seqio keeps the sequences of a source of under 10,000 documents in memory, cut once for
    all epochs, unless told not to. Documents are neither trimmed nor packed, and counted from the
    first one on, when buffers are full: no pipeline over them is faster. The converter trims
    documents to a row, whose rest is lost; what fills the buffers counts there.
    """
    import numpy as np
    import seqio

    seqio.dataset_providers._MAX_EXAMPLES_TO_MEM_CACHE = 0
    mixture = seqio.get_mixture_or_task(MIXTURE)
    documents = mixture.get_dataset(None, "train", shuffle=True, seed=0, num_epochs=None)
    watch, seen = None, 0
    for document in documents.as_numpy_iterator():
        seen += len(document["targets"]) if watch else 0
        watch = watch or Watch()
        if seen >= tokens:
            break
    found = {"documents": watch.read(seen)}
    rows = seqio.get_dataset(
        MIXTURE,
        {"targets": row_length},
        feature_converter=seqio.LMFeatureConverter(pack=True),
        dataset_split="train",
        shuffle=True,
        seed=0,
    )
    watch, seen = Watch(), 0
    for row in rows.as_numpy_iterator():
        seen += int(np.count_nonzero(row["decoder_segment_ids"]))
        if seen >= tokens:
            break
    return {**found, "rows": watch.read(seen)}


def seek(corpus: str, row_length: int):
    """Seconds from nothing to the first batch of step 1,000,000 of 8 rows; imports are done."""
    from codellama_jax.data import RowStream

    began = time.perf_counter()
    stream = RowStream(MIXTURE, row_length, 0, corpus=corpus)
    opened = time.perf_counter()
    for number in range(8_000_000, 8_000_008):
        stream.row(number)
    return opened - began, time.perf_counter() - opened


def memory(stream, mesh, workers: int, minutes: int) -> None:
    """Prints, at the first batch and after every minute, MiB of this process and of its workers.

    Pages of mapped files are left out: the kernel takes them back when it likes.
    """
    from codellama_jax.data import HostLoader

    began, minute = time.perf_counter(), 0
    for step, _ in enumerate(HostLoader(stream, 8, mesh, workers=workers).batches(0, 1 << 40)):
        if time.perf_counter() - began < 60 * minute:
            continue
        children = [process.pid for process in multiprocessing.active_children()]
        found = " ".join(f"{_anonymous(pid) / 2**20:8.1f}" for pid in (os.getpid(), *children))
        print(f"minute {minute:3}, step {step:8}: {found} MiB", flush=True)
        minute += 1
        if minute > minutes:
            return


def _anonymous(pid: int) -> int:
    """Bytes of a process's memory that are no file's, and those it shares with others."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    kinds = ("RssAnon", "RssShmem")
    return sum(int(line.split()[1]) for line in lines if line.startswith(kinds)) * 1024


def main() -> None:
    """Measures, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--corpus", default="corpora/quickstart")
    parser.add_argument("--row-length", type=int, default=4096)
    parser.add_argument("--rows", type=int, default=2000, help="of every measurement")
    parser.add_argument("--minutes", type=int, default=0, help="only watch the memory for so long")
    parser.add_argument("--workers", type=int, default=0, help="of the loader that is watched")
    parser.add_argument("--json", help="write the figures there, too")
    parser.add_argument("--seqio", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    os.environ["JAX_PLATFORMS"] = "cpu"
    import jax

    from codellama_jax.corpus import read_manifest, tokens_file
    from codellama_jax.corpus.tokens import store_tokens
    from codellama_jax.data import RowStream, register
    from codellama_jax.parallel import make_mesh

    length, rows = arguments.row_length, arguments.rows
    tokens, mesh = length * rows, make_mesh()
    figures = {"cores": len(os.sched_getaffinity(0)), "jax": jax.__version__}

    if arguments.seqio:
        register(arguments.corpus)._chunks = None
        print(json.dumps(by_seqio(length, tokens)))
        return

    if arguments.minutes:
        stream = RowStream(MIXTURE, length, 0, corpus=arguments.corpus)
        memory(stream, mesh, arguments.workers, arguments.minutes)
        return

    def speed(name: str, found: Speed, goal: float | None = None) -> Speed:
        figures[name] = found._asdict()
        # What other processes compute does not count there.
        cpu = "" if "processes" in name else f"{found.cpu:,.0f}"
        asked = "" if goal is None else f"{goal:.2f}"
        share = found.wall / alone.wall
        print(f"{name:60}{found.wall:14,.0f}{cpu:>14}{share:10.2f}{asked:>8}", flush=True)
        return found

    def show(name: str, value: float, unit: str, form: str = "14,.0f") -> None:
        figures[name] = value
        print(f"{name:60}{value:{form}} {unit}", flush=True)

    columns = f"{'a second':>14}{'a CPU second':>14}{'a share':>10}{'goal':>8}"
    print(f"{'tokens in':60}{columns}")
    folder = tempfile.TemporaryDirectory()
    texts, ids = (str(Path(folder.name) / name) for name in ("texts", "ids"))
    shutil.copytree(arguments.corpus, texts, ignore=shutil.ignore_patterns(tokens_file("*")))
    shutil.copytree(arguments.corpus, ids)
    store_tokens(Path(ids), read_manifest(ids))

    stream = RowStream(MIXTURE, length, 0, corpus=texts)
    one_thread, alone = (by_sentencepiece(stream, tokens, threads) for threads in (1, 2))
    speed("SentencePiece alone, threads: 1", one_thread)
    speed("SentencePiece alone, threads: 2", alone)
    goal = ON_THE_FLY / ALONE
    for time_ in ("first", "second"):
        found = loaded(stream, mesh, 0, 0, rows)
        speed(f"rows on the fly, the thread, {time_} time", found, goal)
    one, two = (
        speed(f"rows on the fly, processes: {n}", loaded(stream, mesh, n, 0, rows), goal)
        for n in (1, 2)
    )
    command = [sys.executable, __file__, "--seqio", f"--corpus={texts}"]
    command += [f"--row-length={length}", f"--rows={rows}"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
    peers = {name: Speed(*read) for name, read in json.loads(done.stdout.splitlines()[-1]).items()}
    speed("seqio, documents one by one, not packed", peers["documents"], SEQIO / ALONE)
    speed("seqio, rows of its own packing", peers["rows"])
    plain, goal = RowStream(PLAIN, length, 0, corpus=ids), STORED / ALONE
    watch = Watch()
    filled = sum(int((plain.row(n)["segment_ids"] > 0).sum()) for n in range(rows))
    speed("left to right from stored tokens, rows alone", watch.read(filled), goal)
    for workers in (0, 1, 2):
        where = f"processes: {workers}" if workers else "the thread"
        found = loaded(plain, mesh, workers, 0, 4 * rows)
        speed(f"left to right from stored tokens, {where}", found, goal)
    mixed = RowStream(MIXTURE, length, 0, corpus=ids)
    name = "infilled, cut documents from stored tokens, processes: 2"
    speed(name, loaded(mixed, mesh, 2, 0, rows))
    show("on the fly, two processes beside one (goal: above 1)", two.wall / one.wall, "", "14.2f")
    name = "on the fly, two processes beside seqio's documents (goal: 1.9)"
    show(name, two.wall / peers["documents"].wall, "", "14.2f")
    opening, making = seek(texts, length)
    show("to step 1,000,000: open the corpus, plan its rows", opening, "s", "14.2f")
    show("to step 1,000,000: its first 8 rows", making, "s", "14.2f")
    state = {"step": 1_000_000, "fingerprint": stream.fingerprint(), "changes": []}
    show("state in a checkpoint", len(json.dumps(state)), "bytes")
    folder.cleanup()
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
