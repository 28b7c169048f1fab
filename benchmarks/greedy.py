"""Greedy continuations of HumanEval's prompts beside transformers': ids, log-probabilities, texts.

    python benchmarks/greedy.py --problems HumanEval.jsonl.gz [--count 16] [--tokens 128]
        [--batch 16] [--model FILE.gguf] [--cache DIR]
    python benchmarks/greedy.py --problems HumanEval.jsonl.gz --count 164 --tokens 256 --samples
        evaluations/NAME/samples/humaneval-t0.jsonl --model FILE.gguf

Both in float32 and from the same file, as in benchmarks/generation.py; transformers reads prompts
in batches, padded on the left. Prints how many continuations are equal id by id, and the largest
difference of a log-probability before they part. With --samples nothing is generated here: the
texts of an evaluation that was given as many tokens are compared with transformers'. Where two
part, it says how close transformers' choice was: the nats between its best two tokens.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from generation import load_ours, load_theirs, model_file, records, tokenizer_of

from codellama_jax.evaluation.benchmarks.humaneval import HumanEval
from codellama_jax.generation.texts import stopped
from codellama_jax.parallel import tune_host
from codellama_jax.text import Vocabulary

SOON = 32  # tokens


class Continued(NamedTuple):
    """A continuation, up to eos: its ids, their log-probabilities, and transformers' certainty:
    the nats between its best two tokens at each."""

    ids: list[int]
    logprobs: list[float]
    margins: list[float]


def main() -> None:
    """Prints the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--problems", required=True, help="a file of HumanEval's format")
    parser.add_argument("--count", type=int, default=16, help="of problems")
    parser.add_argument("--tokens", type=int, default=128, help="of each continuation")
    parser.add_argument("--batch", type=int, default=16, help="rows at once")
    parser.add_argument("--samples", help="compare the texts of this file instead")
    parser.add_argument("--model", help="a GGUF file")
    parser.add_argument("--cache", help="folder of compiled programs, kept between runs")
    given = parser.parse_args()
    tune_host()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(given.model) if given.model else model_file(Path(folder))
        _, v = tokenizer_of(path)
        problems = records(given.problems, given.count)
        prompts = [[v.bos_id, *v.encode(problem["prompt"])] for problem in problems]
        if given.samples:
            model = load_theirs(path, "float32")
            expected = theirs(model, prompts, v.eos_id, min(SOON, given.tokens), given.batch)
            # Most texts have stopped by then; the others are asked again, for all their tokens.
            longer = [
                number
                for number, their in enumerate(expected)
                if len(their.ids) == SOON and text_of(v, prompts[number], their)[1]
            ]
            again = [prompts[number] for number in longer]
            again = theirs(model, again, v.eos_id, given.tokens, given.batch)
            for number, their in zip(longer, again):
                expected[number] = their
            compare_texts(v, problems, prompts, expected, given.samples)
        else:
            found = ours(path, prompts, v.eos_id, given.tokens, given.batch, given.cache)
            model = load_theirs(path, "float32")
            expected = theirs(model, prompts, v.eos_id, given.tokens, given.batch)
            compare_ids(found, expected)


def compare_ids(found: list[Any], expected: list[Continued]) -> None:
    """Prints how far the engine's ids and log-probabilities are transformers'."""
    equal, compared, largest = 0, 0, 0.0
    for number, (mine, their) in enumerate(zip(found, expected)):
        until = next(
            (n for n, (a, b) in enumerate(zip(mine.ids, their.ids)) if a != b),
            min(len(mine.ids), len(their.ids)),
        )
        off = [abs(a - b) for a, b in zip(mine.logprobs[:until], their.logprobs)]
        compared += until
        largest = max(largest, *off, 0.0)
        if mine.ids == their.ids:
            equal += 1
        else:
            apart = [f"{margin:.1e} nats apart" for margin in their.margins[until : until + 1]]
            print(", ".join([f"prompt {number}: part at token {until}", *apart]))
    print(
        f"{equal} of {len(expected)} continuations equal id by id; log-probabilities of"
        f" {compared:,} ids differ by at most {largest:.1e}"
    )


def compare_texts(
    v: Vocabulary,
    problems: list[dict[str, Any]],
    prompts: list[list[int]],
    expected: list[Continued],
    samples: str,
) -> None:
    """Prints how many samples are what HumanEval makes of transformers' continuations."""
    lines = map(json.loads, Path(samples).read_text("utf-8").splitlines())
    texts = {line["task_id"]: line["completion"] for line in lines}
    equal = 0
    for problem, prompt, their in zip(problems, prompts, expected):
        mine = texts[problem["task_id"]]
        text, _ = text_of(v, prompt, their)
        if mine == text:
            equal += 1
            continue
        until = next((n for n, (a, b) in enumerate(zip(mine, text)) if a != b), len(text))
        sizes = (
            len(v.decode_continuation(prompt, their.ids[: n + 1])) for n in range(len(their.ids))
        )
        token = next((n for n, size in enumerate(sizes) if size > until), len(their.ids))
        apart = [f"{margin:.1e} nats apart" for margin in their.margins[token : token + 1]]
        print(", ".join([f"{problem['task_id']}: part at token {token}", *apart]))
    print(f"{equal} of {len(problems)} samples equal transformers' text")


def text_of(v: Vocabulary, prompt: list[int], their: Continued) -> tuple[str, bool]:
    """What HumanEval makes of a continuation, and whether more ids might be added to it."""
    text = v.decode_continuation(prompt, their.ids)
    cut = stopped(text, HumanEval.stops)
    return cut, cut == text


def ours(
    path: Path, prompts: list[list[int]], stop: int, tokens: int, batch: int, cache: str | None
) -> list[Any]:
    """What the engine finishes, in the prompts' order."""
    config, params = load_ours(path, "float32", cache)
    from codellama_jax.generation import Engine, Sampling

    sampling = Sampling(max_new_tokens=tokens, logprobs=True)
    engine = Engine(config, params, batch_size=batch)
    return sorted(engine.stream(prompts, [stop], sampling), key=lambda finished: finished.number)


def theirs(
    model: Any, prompts: list[list[int]], stop: int, tokens: int, batch: int
) -> list[Continued]:
    """transformers' continuations without the stop that ended them, in the prompts' order."""
    import torch

    results: dict[int, Continued] = {}
    order = sorted(range(len(prompts)), key=lambda number: len(prompts[number]))
    with torch.inference_mode():
        for begin in range(0, len(order), batch):
            numbers = order[begin : begin + batch]
            longest = max(len(prompts[number]) for number in numbers)
            pads = [longest - len(prompts[number]) for number in numbers]
            rows = [[stop] * pad + prompts[number] for pad, number in zip(pads, numbers)]
            mask = [[0] * pad + [1] * (longest - pad) for pad in pads]
            new = model.generate(
                torch.tensor(rows), attention_mask=torch.tensor(mask), do_sample=False,
                max_new_tokens=tokens, eos_token_id=stop, pad_token_id=stop, output_logits=True,
                return_dict_in_generate=True,
            )  # fmt: skip
            best = [torch.log_softmax(logits, -1).topk(2).values for logits in new.logits]
            for row, number in enumerate(numbers):
                ids = new.sequences[row, longest:].tolist()
                ids = ids[: ids.index(stop)] if stop in ids else ids
                two = [step[row].tolist() for step in best]
                results[number] = Continued(
                    ids, [first for first, _ in two[: len(ids)]], [a - b for a, b in two]
                )
    return [results[number] for number in range(len(prompts))]


if __name__ == "__main__":
    main()
