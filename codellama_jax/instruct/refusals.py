"""`codellama-jax refusals`: how often a model refuses wrongly, and complies wrongly."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import gin

from codellama_jax.corpus.files.atomic import replacing
from codellama_jax.evaluation.refusals import Kind, judged, load_probes, refusal_rates
from codellama_jax.generation import Sampling
from codellama_jax.instruct.teacher import Ask, Teacher
from codellama_jax.instruct.templates import Templates
from codellama_jax.writing import percent

_SAMPLING = Sampling(temperature=0.0, max_new_tokens=256)
_VERDICT = Sampling(temperature=0.0, max_new_tokens=8)


@gin.configurable
def measure_refusals(
    teacher: Teacher = gin.REQUIRED,
    probes: str | None = None,
    judge: Teacher | None = None,
    output: str | None = None,
    sampling: Sampling = _SAMPLING,
) -> dict[str, Any]:
    """False refusals and false compliance on the probes, printed.

    Args:
      teacher: who is measured.
      probes: a JSONL file; those of the package unless given.
      judge: a model that decides what the answers are; unless given the rules of
        evaluation/refusals.py do, which also decide where the model says none of its three words.
      output: file for the result; refusals.json in a phase's folder is what its card shows.
      sampling: greedy unless given.

    Returns:
      What `refusal_rates` gives, and {"teacher", "judge"}.
    """
    found = load_probes(probes)
    answers = _answers(teacher, "refusals", [probe.prompt for probe in found], sampling)
    kinds = {}
    if judge is not None:
        templates = Templates()
        asked = [
            templates.fill("judge", prompt=probe.prompt, answer=answer)
            for probe, answer in zip(found, answers)
        ]
        said = _answers(judge, "judge", asked, _VERDICT)
        kinds = {
            (probe.prompt, answer): _kind(probe.prompt, answer, word)
            for probe, answer, word in zip(found, answers, said)
        }
    rates = refusal_rates(found, answers, judged if judge is None else lambda *pair: kinds[pair])
    result = {
        "teacher": dict(teacher.describe()),
        "judge": "rules" if judge is None else dict(judge.describe()),
        **rates,
    }
    for name, title in (
        ("false_refusal", "refused what it should answer"),
        ("false_compliance", "complied where it should refuse"),
        ("neither", "neither refused nor complied"),
    ):
        row = rates[name]
        print(f"{title}: {percent(row['rate'])} ({row['count']} of {row['of']})", flush=True)
    if output is not None:
        with replacing(Path(output)) as temporary:
            temporary.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    return result


def _answers(teacher: Teacher, stage: str, prompts: list[str], sampling: Sampling) -> list[str]:
    asks = [Ask(str(number), text, seed=number) for number, text in enumerate(prompts)]
    groups = [asks[start : start + teacher.group] for start in range(0, len(asks), teacher.group)]
    with ThreadPoolExecutor(teacher.concurrency) as pool:
        answered = pool.map(lambda group: list(teacher.answer(stage, group, sampling)), groups)
        texts = {ask.key: text for of in answered for ask, text in of}
    return [texts[ask.key] for ask in asks]


def _kind(prompt: str, answer: str, word: str) -> Kind:
    said = word.strip().strip(".").lower()
    return said if said in ("refused", "complied", "neither") else judged(prompt, answer)
