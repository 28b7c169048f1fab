"""A teacher behind a URL that speaks OpenAI's chat completions."""

import os
import random
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import gin

from codellama_jax.errors import UserError
from codellama_jax.generation import Sampling
from codellama_jax.instruct.teacher import Ask

_TRY_AGAIN = frozenset((408, 409, 425, 429, 500, 502, 503, 504, 529))


@gin.configurable
class EndpointTeacher:
    """Asks one prompt a request; the seed goes along, for servers that heed it.

    Args:
      base_url: up to and without /chat/completions, e.g. "http://localhost:8000/v1".
      model: name that the server knows.
      key_variable: environment variable with the key; without the variable none is sent.
      concurrency: requests at a time.
      requests_per_minute: that are begun, evenly, further attempts included; None for as many as
        the server takes.
      retries: further attempts after an overload, a server's error or a broken connection.
      first_wait_seconds: before the first of them; doubled each time, unless the server says.
      timeout_seconds: of one attempt.
      system: instructions that precede each prompt; None for none.
    """

    group = 1

    def __init__(
        self,
        base_url: str = gin.REQUIRED,
        model: str = gin.REQUIRED,
        key_variable: str = "OPENAI_API_KEY",
        concurrency: int = 16,
        requests_per_minute: float | None = None,
        retries: int = 6,
        first_wait_seconds: float = 1.0,
        timeout_seconds: float = 600.0,
        system: str | None = None,
    ):
        try:
            import httpx
        except ImportError as error:
            raise UserError(
                "EndpointTeacher needs httpx: pip install 'codellama-jax[instruct]'"
            ) from error
        self.base_url, self.model, self.system = base_url.rstrip("/"), model, system
        self.concurrency, self.retries = concurrency, retries
        self.first_wait_seconds = first_wait_seconds
        if requests_per_minute is not None and requests_per_minute <= 0:
            raise UserError(
                f"EndpointTeacher.requests_per_minute = {requests_per_minute}: set it above 0, or"
                " to None"
            )
        self._apart = 60 / requests_per_minute if requests_per_minute else 0.0
        self._turn, self._next = threading.Lock(), 0.0
        key = os.environ.get(key_variable)
        self._client = httpx.Client(
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=timeout_seconds,
            limits=httpx.Limits(max_connections=concurrency),
        )
        self._broken = httpx.TransportError

    def describe(self) -> Mapping[str, Any]:
        """Server and model; the key stays where it is."""
        return {"base_url": self.base_url, "model": self.model, "system": self.system}

    def answer(
        self, stage: str, asks: Sequence[Ask], sampling: Sampling
    ) -> Iterator[tuple[Ask, str]]:
        """What the server says; UserError when it refuses, or fails once more than `retries`."""
        for ask in asks:
            yield ask, self._one(ask, sampling)

    def _one(self, ask: Ask, sampling: Sampling) -> str:
        system = [{"role": "system", "content": self.system}] if self.system else []
        body = {
            "model": self.model,
            "messages": [*system, {"role": "user", "content": ask.prompt}],
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_tokens": sampling.max_new_tokens,
            "seed": ask.seed,
        }
        url = f"{self.base_url}/chat/completions"
        said = "no attempt was made"
        for attempt in range(self.retries + 1):
            asked = 0.0  # by the server, to wait
            self._wait_for_turn()
            try:
                answer = self._client.post(url, json=body)
            except self._broken as error:
                said = f"{type(error).__name__}: {error}"
            else:
                if answer.is_success:
                    return _content(answer.text, answer, url)
                said = f"status {answer.status_code}: {answer.text[:200]}"
                if answer.status_code not in _TRY_AGAIN:
                    break
                asked = _seconds(answer.headers.get("retry-after"))
            if attempt < self.retries:
                # Requests that failed together should not come back together.
                wait = self.first_wait_seconds * 2**attempt * random.uniform(0.5, 1.0)
                time.sleep(max(asked, wait))
        raise UserError(f"{url} does not answer ({said}): mend it, then run the same command again")

    def _wait_for_turn(self) -> None:
        with self._turn:
            now = time.monotonic()
            begin = max(now, self._next)
            self._next = begin + self._apart
        time.sleep(begin - now)


def _content(text: str, answer: Any, url: str) -> str:
    try:
        return answer.json()["choices"][0]["message"]["content"] or ""
    except (ValueError, LookupError, TypeError) as error:
        raise UserError(f"{url} answers in another format: {text[:200]}") from error


def _seconds(header: str | None) -> float:
    try:
        return min(float(header or 0), 600.0)
    except ValueError:  # a date, which few servers send
        return 0.0
