"""Self-instruct where the truth is known: precision and recall of "keep"; ten kills and resumes.

    python benchmarks/self_instruct.py [--questions 320] [--roots DIRECTORY...] [--kills 10]

The teacher's questions are functions of installed Python libraries that run on their own and that
doctests, tests or other code of these libraries call; members of families of small functions fill
up what is missing. Its wrong solutions are mutants of the right ones. A solution is right when it
does what the library's function does on all calls that are known, of which the tests see few.

The tests are chosen by an author who knows the wrong solutions ("telling"), by one who knows other
mistakes ("careful"), or at random; the pipeline takes them as in the paper, or asks that they tell
a solution from its own mutants (`Strength`). Then a smaller pass is killed (-9) while it works and
started again, and its files are compared with those of a pass that nobody disturbed.
"""

import argparse
import contextlib
import io
import json
import multiprocessing
import os
import random
import signal
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import gin

from codellama_jax.instruct import KnownTeacher, self_instruct
from codellama_jax.instruct.known_scores import score
from codellama_jax.writing import percent

_SOLUTIONS = 6
# (author of the tests, how many, least strength)
SETTINGS = (
    ("telling", 5, None),
    ("careful", 5, None),
    ("careful", 5, 1.0),
    ("careful", 10, 1.0),
    ("random", 5, None),
    ("random", 5, 1.0),
    ("random", 20, 1.0),
)


class Witnessed(KnownTeacher):
    """Notes in a file what it was asked and what it answered, each time; thinks for a moment."""

    group, concurrency = 3, 4

    def answer(self, stage, asks, sampling):
        """As the known teacher does."""
        self.note("asked", stage, asks)
        for ask, text in super().answer(stage, asks, sampling):
            time.sleep(random.Random(ask.seed).uniform(0.0, 0.01))
            self.note("answered", stage, [ask])
            yield ask, text

    def note(self, what, stage, asks):
        """Appends a line for each ask."""
        with self.lock, open(self.file, "a") as stream:
            stream.writelines(f"{what} {stage}/{ask.key}\n" for ask in asks)


def measure(
    folder: Path, questions: int, roots: list[str] | None, setting: tuple[str, int, float | None]
) -> dict[str, Any]:
    """One pass and its score."""
    chosen, tests, least = setting
    gin.clear_config()
    gin.parse_config(f"Strength.least = {least}\nLimits.wall_seconds = 10.0")
    began = time.perf_counter()
    teacher = KnownTeacher(questions, roots, tests=tests, solutions=_SOLUTIONS, chosen=chosen)
    asked = len(teacher.lines)
    prepared = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        self_instruct(
            teacher, teacher, teacher, str(folder), asked,
            tests_per_question=tests, solutions_per_question=_SOLUTIONS,
        )  # fmt: skip
    return {
        **score(folder, teacher),
        "chosen": chosen,
        "tests": tests,
        "least": least,
        "preparing_seconds": round(prepared - began, 1),
        "seconds": round(time.perf_counter() - prepared, 1),
    }


def small_pass(teacher: Witnessed, folder: str, noted: str) -> None:
    """What is killed."""
    gin.parse_config("Strength.least = 0.9\nLimits.wall_seconds = 10.0")
    teacher.file, teacher.lock = noted, threading.Lock()
    with contextlib.redirect_stdout(io.StringIO()):
        self_instruct(
            teacher, teacher, teacher, folder, len(teacher.lines), 5,
            solutions_per_question=_SOLUTIONS,
        )  # fmt: skip


def killed(folder: Path, questions: int, kills: int) -> dict[str, Any]:
    """The same pass undisturbed, and killed so often after a few changes of its files."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["codellama_jax.instruct"])
    draw = random.Random(0)
    place, noted = folder / "killed", folder / "killed.noted"
    teacher = Witnessed(questions, solutions=_SOLUTIONS, chosen="random", questions_per_prompt=5)
    # What it knows goes along with it: no start has to find it out again.
    asked = len(teacher.known)

    def start(name: str) -> multiprocessing.Process:
        arguments = (teacher, str(folder / name), str(folder / f"{name}.noted"))
        process = context.Process(target=small_pass, args=arguments)
        process.start()
        return process

    start("whole").join()
    done, again, repeated, unlogged = 0, 0, 0, 0
    while True:
        before = _notes(noted)
        logged = _logged(place)
        process, changes, seen = start("killed"), draw.randint(2, 9), None
        while process.is_alive() and changes and done < kills:
            state = {p: p.stat().st_size for p in place.rglob("*.*") if p.is_file()}
            if state != seen:
                seen, changes = state, changes - 1
            time.sleep(0.002)
        if process.is_alive() and done < kills:
            os.kill(process.pid, signal.SIGKILL)
            done += 1
        process.join()
        asked = set(_notes(noted)["asked"][len(before["asked"]) :])
        again += len(asked & set(before["asked"]))
        repeated += len(asked & logged)
        unlogged += len(asked & set(before["answered"]) - logged)
        if process.exitcode == 0:
            break
    files = [{p.name: p.read_bytes() for p in sorted((folder / name).iterdir()) if p.is_file()}
             for name in ("whole", "killed")]  # fmt: skip
    return {
        "questions": asked,
        "kills": done,
        "files": sorted(files[0]),
        "same": files[0] == files[1],
        "answers": len(set(_notes(noted)["asked"])),
        "asked_again": again,
        "asked_again_though_logged": repeated,
        "asked_again_though_answered": unlogged,
    }


def _notes(path: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {"asked": [], "answered": []}
    for line in path.read_text().splitlines() if path.exists() else []:
        what, _, key = line.partition(" ")
        if key:  # a kill may cut the last line short
            found[what].append(key)
    return found


def _logged(folder: Path) -> set[str]:
    """Answers that are on disk whole: a start after this has no reason to ask for them."""
    found = set()
    for path in folder.glob("log/*/answers.jsonl"):
        for line in path.read_bytes().splitlines(keepends=True):
            if line.endswith(b"\n"):
                found.add(f"{path.parent.name}/{json.loads(line)['key']}")
    return found


def main() -> None:
    """Prints both."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--questions", type=int, default=320)
    parser.add_argument(
        "--roots", nargs="*", help="directories of Python; this installation's unless given"
    )
    parser.add_argument("--settings", type=int, nargs="*", default=range(len(SETTINGS)))
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--killed_questions", type=int, default=30)
    parser.add_argument("--json", help="write the results there")
    options = parser.parse_args()
    results: dict[str, Any] = {"passes": []}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for number in options.settings if options.questions else ():
            setting = SETTINGS[number]
            found = measure(folder / str(number), options.questions, options.roots, setting)
            results["passes"].append(found)
            print(
                f"{found['tests']} {found['chosen']} tests, strength {found['least'] or 'any'}:"
                f" {found['questions']} questions, {found['from_libraries']} of them of libraries,"
                f" {found['keepable']} to keep, {found['kept']} kept, {found['right']} rightly:"
                f" precision {percent(found['precision'])}, recall {percent(found['recall'])}"
                f" ({found['preparing_seconds']:.0f} + {found['seconds']:.0f} s)",
                flush=True,
            )
        if options.kills:
            gin.clear_config()
            results["killed"] = found = killed(folder, options.killed_questions, options.kills)
            print(
                f"{found['kills']} kills: the same {len(found['files'])} files"
                f" {'byte for byte' if found['same'] else 'DIFFER'}; {found['answers']} answers;"
                f" {found['asked_again']} asked for again, being under way at a kill,"
                f" {found['asked_again_though_answered']} of them given and not yet on disk;"
                f" {found['asked_again_though_logged']} that were on disk"
            )
    if options.json:
        Path(options.json).write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
