"""`codellama-jax self-instruct`: questions, tests, solutions, execution, triplets."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import gin

from codellama_jax.corpus.decontaminate import DecontaminateSettings, Matcher
from codellama_jax.corpus.evaluation_sets import read_evaluation_sets
from codellama_jax.corpus.files.atomic import replacing
from codellama_jax.errors import UserError
from codellama_jax.evaluation.benchmarks.security import SEVERITIES
from codellama_jax.evaluation.sandbox import Limits, available
from codellama_jax.generation import Sampling
from codellama_jax.instruct.programs import Execution
from codellama_jax.instruct.questions import ask_questions
from codellama_jax.instruct.run import kept, opened
from codellama_jax.instruct.solutions import ask_solutions
from codellama_jax.instruct.statistics import statistics, table
from codellama_jax.instruct.strength import Strength
from codellama_jax.instruct.teacher import Teacher
from codellama_jax.instruct.templates import Templates
from codellama_jax.instruct.triplets import make_triplets
from codellama_jax.instruct.unit_tests import ask_tests

STATISTICS = "statistics.json"
_QUESTIONS = Sampling(temperature=0.8, top_p=0.95, max_new_tokens=4096)
_PROGRAMS = Sampling(temperature=0.8, top_p=0.95, max_new_tokens=512)


@gin.configurable
def self_instruct(
    questioner: Teacher = gin.REQUIRED,
    tester: Teacher = gin.REQUIRED,
    solver: Teacher = gin.REQUIRED,
    output_dir: str = "corpora/self_instruct",
    questions: int = 62_000,
    questions_per_prompt: int = 50,
    tests_per_question: int = 5,
    solutions_per_question: int = 10,
    seed: int = 0,
    question_sampling: Sampling = _QUESTIONS,
    test_sampling: Sampling = _PROGRAMS,
    solution_sampling: Sampling = _PROGRAMS,
    most_alike: int | None = None,
    insecure: str | None = None,
    unsandboxed: bool = False,
) -> dict[str, Any]:
    """Makes dialogues whose code was run: the first solution that passes a question's tests.

    What is finished is not done again: a start after a kill goes on behind the last record, and
    ends with the same files. How the teachers are sampled is not given in the paper.

    Args:
      questioner, tester, solver: who writes what; in the paper Llama 2 70B chat, then twice Code
        Llama 7B.
      output_dir: for questions.parquet, tests.parquet, solutions.parquet, triplets.parquet, which
        `prepare` takes as dialogues, and statistics.json.
      questions, questions_per_prompt: to ask for.
      tests_per_question: asserts; the first is shown to the solver.
      solutions_per_question: tried in their order.
      seed: all seeds follow from it; those of the samplings are not used.
      question_sampling, test_sampling, solution_sampling: of the teachers.
      most_alike: of solutions that differ only in names, constants and docstrings, at most so many
        are kept; None for all.
      insecure: severity ("LOW", "MEDIUM", "HIGH") from which on a finding of bandit, which reads
        and runs nothing, drops a solution; None for no such scan.
      unsandboxed: run generated programs without a sandbox, at your own risk.

    Returns:
      What `statistics.statistics` gives, also in statistics.json.

    Raises:
      UserError: no sandbox, a teacher that fails, another pass in the folder.
    """
    if not unsandboxed and (reason := available()):
        raise UserError(f"cannot run generated programs: {reason}")
    numbers = {
        "questions": questions,
        "questions_per_prompt": questions_per_prompt,
        "tests_per_question": tests_per_question,
        "solutions_per_question": solutions_per_question,
    }
    for name, number in numbers.items():
        if number < 1:
            raise UserError(f"self_instruct.{name} = {number}: set it to 1 or more")
    if insecure is not None and insecure not in SEVERITIES:
        raise UserError(
            f"self_instruct.insecure = {insecure!r}: set it to one of {', '.join(SEVERITIES)}, or"
            " None"
        )
    templates, against, limits = Templates(), DecontaminateSettings(), Limits()
    strength = Strength()
    strength.check()
    sets = read_evaluation_sets(against.packaged, against.files, against.fields, against.task_field)
    teachers = {"questioner": questioner, "tester": tester, "solver": solver}
    samplings = [
        replace(sampling, seed=seed)
        for sampling in (question_sampling, test_sampling, solution_sampling)
    ]
    parameters = {
        **numbers,
        "seed": seed,
        "most_alike": most_alike,
        "insecure": insecure,
        "teachers": {role: dict(teacher.describe()) for role, teacher in teachers.items()},
        "samplings": [asdict(sampling) for sampling in samplings],
        "templates": templates.digests(),
        "limits": asdict(limits),
        "strength": asdict(strength),
        "decontaminate": asdict(against),
        "evaluation_sets": {of.file: of.sha256 for of in sets},
    }
    matcher, execution = Matcher(sets, against), Execution(limits, unsandboxed)
    asked, checked, solved = samplings
    with opened(Path(output_dir), parameters) as run:
        written = run.stage(
            "questions",
            lambda: ask_questions(
                run, questioner, templates, matcher, asked, questions, questions_per_prompt
            ),
        )
        tests = run.stage(
            "tests",
            lambda: ask_tests(
                run, kept(written), tester, templates, matcher, checked, execution,
                tests_per_question,
            ),
        )  # fmt: skip
        solutions = run.stage(
            "solutions",
            lambda: ask_solutions(
                run, kept(tests), solver, templates, matcher, solved, execution, strength,
                insecure, solutions_per_question,
            ),
        )  # fmt: skip
        triplets = run.stage(
            "triplets", lambda: make_triplets(written, tests, solutions, most_alike)
        )
        found = statistics(written, tests, solutions, triplets)
        with replacing(Path(output_dir) / STATISTICS) as temporary:
            temporary.write_text(json.dumps(found, indent=1) + "\n")
    print("\n".join(table(found)), flush=True)
    return found
