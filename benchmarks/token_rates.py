"""Token rates of mixtures as asked and as realised in their rows.

    python benchmarks/token_rates.py --corpus corpora/quickstart [--row-length 4096]
        [--rows 1000] [--mixtures code_llama code_llama_python code_llama_instruct]

A row is of one task, so that no mixing of rows comes closer to a task's share than half a row does,
which is the last column; how full the few rows of a small task are adds to that.
"""

import argparse

import numpy as np


def main() -> None:
    """Makes the rows, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--corpus", default="corpora/quickstart")
    parser.add_argument("--row-length", type=int, default=4096)
    parser.add_argument("--rows", type=int, default=1000)
    mixtures = ["code_llama", "code_llama_python", "code_llama_instruct"]
    parser.add_argument("--mixtures", nargs="+", default=mixtures)
    arguments = parser.parse_args()
    from codellama_jax.data import RowStream

    print(f"{arguments.rows:,} rows of {arguments.row_length} positions, percent of all tokens")
    columns = ("asked", "realised", "difference", "of asked", "half a row")
    print(f"{'mixture':22}{'task':18}{'rows':>7}" + "".join(f"{name:>12}" for name in columns))
    worst = 0.0
    for mixture in arguments.mixtures:
        stream = RowStream(mixture, arguments.row_length, 0, corpus=arguments.corpus)
        made, tokens = (np.zeros(len(stream.tasks), np.int64) for _ in range(2))
        for number in range(arguments.rows):
            row = stream.row(number)
            made[row["task"]] += 1
            tokens[row["task"]] += np.count_nonzero(row["segment_ids"])
        asked = np.array([stream.rates[task.name] for task in stream.tasks])
        asked = 100 * asked / asked.sum()
        realised = 100 * tokens / tokens.sum()
        for n, task in enumerate(stream.tasks):
            difference = realised[n] - asked[n]
            worst = max(worst, abs(difference))
            print(
                f"{mixture:22}{task.name:18}{made[n]:7,}{asked[n]:12.2f}{realised[n]:12.2f}"
                f"{difference:+12.3f}{100 * difference / asked[n]:+11.2f}%"
                f"{50 / made[n]:11.2f}%"
            )
    print(f"largest difference: {worst:.3f} points of 100 (goal: 0.5)")


if __name__ == "__main__":
    main()
