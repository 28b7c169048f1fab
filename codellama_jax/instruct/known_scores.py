"""How far "keep" is right, where the truth is known."""

from pathlib import Path
from typing import Any

from codellama_jax.instruct.known import KnownTeacher
from codellama_jax.instruct.results import read_result
from codellama_jax.instruct.run import kept


def score(output_dir: str | Path, teacher: KnownTeacher) -> dict[str, Any]:
    """Precision and recall of keeping, of a finished pass that this teacher taught.

    A solution is right when it does what its question's function does on every call that is known
    of it, most of which no test makes. A kept triplet is right when its solution is
    and nothing is wrong with its tests. A question should be kept when nothing is wrong with its
    tests and a right solution was among those written.

    Returns:
      {"questions", "from_libraries", "keepable", "kept", "right", "precision", "recall",
      "wrong_solutions", "bad_tests", "not_kept"}: counts, shares, and the questions that were
      missed.
    """
    triplets = kept(read_result(Path(output_dir) / "triplets.parquet"))
    found = [(triplet["solution"], teacher.known[triplet["question"]]) for triplet in triplets]
    wrong = sum(solution not in of.right for solution, of in found)
    bad = sum(of.fault != "none" for _, of in found)
    right = {
        of.problem.question for solution, of in found if solution in of.right and of.fault == "none"
    }
    keepable = {question for question, of in teacher.known.items() if of.keepable}
    return {
        "questions": len(teacher.known),
        "from_libraries": sum(bool(of.problem.origin) for of in teacher.known.values()),
        "keepable": len(keepable),
        "kept": len(triplets),
        "right": len(right),
        "precision": len(right) / len(triplets) if triplets else None,
        "recall": len(right & keepable) / len(keepable) if keepable else None,
        "wrong_solutions": wrong,
        "bad_tests": bad,
        "not_kept": sorted(keepable - right),
    }
