"""Greedy continuations of HumanEval's prompts beside transformers': ids, and log-probabilities.

    python benchmarks/greedy.py --problems HumanEval.jsonl.gz [--count 16] [--tokens 128]
        [--model FILE.gguf] [--cache DIR]

Both in float32 and from the same file, as in benchmarks/generation.py. Prints how many texts are
equal id by id, where others part, and the largest difference of a log-probability before that.
"""

import argparse
import tempfile
from pathlib import Path

from generation import load_ours, load_theirs, model_file, prompts, tokenizer_of

from codellama_jax.parallel import tune_host


def main() -> None:
    """Prints the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--problems", required=True, help="a file of HumanEval's format")
    parser.add_argument("--count", type=int, default=16, help="of problems")
    parser.add_argument("--tokens", type=int, default=128, help="of each continuation")
    parser.add_argument("--model", help="a GGUF file")
    parser.add_argument("--cache", help="folder of compiled programs, kept between runs")
    given = parser.parse_args()
    tune_host()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(given.model) if given.model else model_file(Path(folder))
        tokenizer = tokenizer_of(path)
        texts = prompts(given.problems, given.count, samples=1)
        ids = [tokenizer(text)["input_ids"] for text in texts]
        found = ours(path, ids, given.tokens, given.cache)
        expected = theirs(path, ids, given.tokens)
    equal, largest = 0, 0.0
    for number, (mine, (tokens, logprobs)) in enumerate(zip(found, expected)):
        shared = next((n for n, (a, b) in enumerate(zip(mine.ids, tokens)) if a != b), None)
        until = min(len(mine.ids), len(tokens)) if shared is None else shared
        off = max((abs(mine.logprobs[n] - logprobs[n]) for n in range(until)), default=0.0)
        largest = max(largest, off)
        if mine.ids == tokens:
            equal += 1
        else:
            print(f"prompt {number}: part at token {until} of {len(tokens)}")
    count = sum(len(tokens) for tokens, _ in expected)
    print(
        f"{equal} of {len(ids)} continuations equal id by id ({count:,} ids);"
        f" log-probabilities differ by at most {largest:.1e}"
    )


def ours(path: Path, prompts: list[list[int]], tokens: int, cache: str | None) -> list:
    """What the engine finishes, in the prompts' order."""
    config, params = load_ours(path, "float32", cache)
    from codellama_jax.generation import Engine, Sampling

    sampling = Sampling(max_new_tokens=tokens, logprobs=True)
    engine = Engine(config, params, batch_size=16)
    stop = tokenizer_of(path).eos_token_id
    return sorted(engine.stream(prompts, [stop], sampling), key=lambda finished: finished.number)


def theirs(
    path: Path, prompts: list[list[int]], tokens: int
) -> list[tuple[list[int], list[float]]]:
    """transformers' ids without the eos that ended them, and their log-probabilities."""
    import torch

    model, results = load_theirs(path, "float32"), []
    eos = tokenizer_of(path).eos_token_id
    with torch.inference_mode():
        for prompt in prompts:
            row = torch.tensor([prompt])
            new = model.generate(
                row, attention_mask=torch.ones_like(row), do_sample=False, max_new_tokens=tokens,
                pad_token_id=eos, output_logits=True, return_dict_in_generate=True,
            )  # fmt: skip
            ids = new.sequences[0, len(prompt) :].tolist()
            logprobs = [
                float(torch.log_softmax(logits[0].float(), -1)[token])
                for token, logits in zip(ids, new.logits)
            ]
            ids = ids[: ids.index(eos)] if eos in ids else ids
            results.append((ids, logprobs[: len(ids)]))
    return results


if __name__ == "__main__":
    main()
