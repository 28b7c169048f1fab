"""pass@k of a model on problems with tests: generate, truncate, run in the sandbox."""

from typing import Any

import gin

from codellama_jax.evaluation.programs import load_problems, score, truncate
from codellama_jax.evaluation.sandbox import available
from codellama_jax.generation import Model, Sampling, complete


@gin.configurable
def functional_correctness(
    model: Model,
    temperature: float = 0.0,
    samples: int = 1,
    max_new_tokens: int = 96,
    unsandboxed: bool = False,
) -> dict[str, Any]:
    """Results of `programs.score`, or {"not_run": reason} on a machine without a sandbox.

    Args:
      model: the checkpoint.
      temperature: 0 is greedy, for pass@1.
      samples: completions a problem.
      max_new_tokens: generated at most.
      unsandboxed: run generated programs without a sandbox, at your own risk.
    """
    if not unsandboxed and (reason := available()):
        return {"not_run": reason}
    problems = load_problems()
    prompts = [problem.prompt for problem in problems for _ in range(samples)]
    sampling = Sampling(temperature=temperature, max_new_tokens=max_new_tokens)
    texts = iter([truncate(text) for text in complete(model, prompts, sampling)])
    completions = [[next(texts) for _ in range(samples)] for _ in problems]
    return score(problems, completions, unsandboxed=unsandboxed)
