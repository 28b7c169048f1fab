"""Several solutions for each question; the first that passes all tests is kept."""

import ast
from collections.abc import Sequence

from codellama_jax.corpus.decontaminate import Matcher
from codellama_jax.evaluation.benchmarks.security import SEVERITIES, scan
from codellama_jax.generation import Sampling
from codellama_jax.instruct.generate import generate
from codellama_jax.instruct.log import Log
from codellama_jax.instruct.programs import Execution, reordered, solved
from codellama_jax.instruct.questions import overlaps, provenance
from codellama_jax.instruct.reading import asserts, block, parse, signature_agrees
from codellama_jax.instruct.run import Record, Run
from codellama_jax.instruct.strength import Strength
from codellama_jax.instruct.teacher import Ask, Teacher
from codellama_jax.instruct.templates import Templates

_RUNS = 3  # of what passes: each in another order, with another seed of Python's hashes


def ask_solutions(
    run: Run,
    tested: Sequence[Record],
    teacher: Teacher,
    templates: Templates,
    matcher: Matcher,
    sampling: Sampling,
    execution: Execution,
    strength: Strength,
    insecure: str | None,
    count: int,
) -> list[Record]:
    """One record a solution, `count` of them a question; those not dropped are the ones kept.

    The first test of a question is shown, the others are hidden.

    Args:
      insecure: see `self_instruct`.
    """
    asks = []
    for record in tested:
        question, shown = record["question"], record["tests"][0]
        prompt = templates.fill("solution", question=question, test=shown)
        asks += [Ask(f"{record['id']}/{n:03d}", prompt, question, n) for n in range(count)]
    with run.log("solutions/answers") as log:
        answers = generate("solutions", asks, teacher, sampling, log)
    by_id = {record["id"]: record for record in tested}
    records = [
        {
            "id": ask.key.partition("/")[0],
            "number": ask.number,
            **_read(answer["text"], by_id[ask.key.partition("/")[0]]),
            "statuses": [],
            "changed": None,
            "told": None,
            **provenance(answer),
        }
        for ask, answer in zip(asks, answers)
    ]
    usable = [record for record in records if record["dropped"] is None]
    for record, reason in zip(usable, overlaps(matcher, [r["solution"] for r in usable])):
        record["dropped"] = reason
    candidates = [record for record in usable if record["dropped"] is None]
    if insecure is not None:
        for record, found in zip(candidates, scan([r["solution"] for r in candidates])):
            if any(SEVERITIES.index(s) >= SEVERITIES.index(insecure) for s in found):
                record["dropped"] = "insecure"
        candidates = [record for record in candidates if record["dropped"] is None]
    _judge(run, candidates, by_id, execution, strength)
    return records


def _read(text: str, tested: Record) -> Record:
    solution = block(text, "PYTHON")
    if solution is None:
        return {"solution": "", "dropped": "no [PYTHON] block"}
    tree = parse(solution)
    dropped = None
    if tree is None:
        dropped = "does not parse"
    elif not signature_agrees(tree, tested["function"], asserts("\n".join(tested["tests"]))):
        dropped = "signature disagrees"
    return {"solution": solution, "dropped": dropped}


def _judge(
    run: Run,
    candidates: Sequence[Record],
    by_id: dict[str, Record],
    execution: Execution,
    strength: Strength,
) -> None:
    """Runs the candidates of each question in turn until one is kept, and says how each ended."""
    waiting: dict[str, list[Record]] = {}
    for record in candidates:
        waiting.setdefault(record["id"], []).append(record)
    with run.log("solutions/verdicts") as log, run.log("solutions/strength") as strengths:
        while waiting:
            turn = [of.pop(0) for of in waiting.values()]
            for repeat in range(_RUNS):
                programs = {
                    f"{record['id']}/{record['number']:03d}/{repeat}": _program(
                        record, by_id[record["id"]]["tests"], repeat
                    )
                    for record in turn
                    if record["statuses"] == ["passed"] * repeat
                }
                statuses = execution.statuses(programs, log, hash_seed=repeat)
                for record in turn:
                    key = f"{record['id']}/{record['number']:03d}/{repeat}"
                    if key in statuses:
                        record["statuses"].append(statuses[key])
            for record in turn:
                first = record["statuses"][0]
                if record["statuses"] != ["passed"] * _RUNS:
                    record["dropped"] = "flaky" if first == "passed" else first
            if strength.least is not None:
                _drop_untold(turn, by_id, execution, strength, strengths)
            for record in turn:
                if record["dropped"] is None:
                    for later in waiting.pop(record["id"]):
                        later["dropped"] = "another passed before"
            waiting = {key: of for key, of in waiting.items() if of}


def _drop_untold(
    turn: Sequence[Record],
    by_id: dict[str, Record],
    execution: Execution,
    strength: Strength,
    log: Log,
) -> None:
    """Drops those that passed, but that the tests do not tell from what is like them."""
    passed = {
        f"{record['id']}/{record['number']:03d}": record
        for record in turn
        if record["dropped"] is None
    }
    asked = {
        key: (record["solution"], by_id[record["id"]]["function"], by_id[record["id"]]["tests"])
        for key, record in passed.items()
    }
    for key, found in strength.measure(asked, execution, log).items():
        passed[key].update(found)
        if not strength.enough(found):
            passed[key]["dropped"] = "tests too weak"


def _program(record: Record, tests: Sequence[str], repeat: int) -> str:
    return solved(record["solution"], reordered(tests, repeat, record["id"]))


def fingerprint(solution: str) -> str:
    """The same for programs that differ only in names, constants and docstrings."""

    class Blank(ast.NodeTransformer):
        def visit_Name(self, node: ast.Name) -> ast.AST:
            return ast.copy_location(ast.Name("_", node.ctx), node)

        def visit_arg(self, node: ast.arg) -> ast.AST:
            return ast.copy_location(ast.arg("_"), node)

        def visit_Constant(self, node: ast.Constant) -> ast.AST:
            return ast.copy_location(ast.Constant(type(node.value).__name__), node)

        def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
            if len(node.body) > 1 and ast.get_docstring(node) is not None:
                node.body = node.body[1:]
            node.name = "_"
            return self.generic_visit(node)

    return ast.dump(Blank().visit(ast.parse(solution)))
