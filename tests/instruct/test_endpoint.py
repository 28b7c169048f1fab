"""A teacher behind a real HTTP server on this machine."""

import http.server
import json
import threading
import time

import pytest

pytest.importorskip("httpx")

from codellama_jax.errors import UserError
from codellama_jax.generation import Sampling
from codellama_jax.instruct import Ask, EndpointTeacher, self_instruct
from codellama_jax.instruct.known_scores import score

from .conftest import NUMBERS

SAMPLING = Sampling(temperature=0.5, top_p=0.9, max_new_tokens=20, seed=7)


class Server(http.server.ThreadingHTTPServer):
    """Answers with `reply(body)`; the first requests fail as `failures` says."""

    daemon_threads = True

    def __init__(self, reply, failures=()):
        self.reply, self.failures, self.seen = reply, list(failures), []
        self.lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/v1/"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        server = self.server
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        with server.lock:
            server.seen.append((self.path, dict(self.headers), body))
            failure = server.failures.pop(0) if server.failures else None
        if failure == "hang up":
            self.connection.close()
            return
        if isinstance(failure, int):
            status, text = failure, "it failed"
        elif failure is not None:
            status, text = 200, failure
        else:
            message = {"role": "assistant", "content": self.server.reply(body)}
            status, text = 200, json.dumps({"choices": [{"message": message}]})
        self.send_response(status)
        self.send_header("retry-after", "0")
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        pass


@pytest.fixture
def serve():
    servers = []

    def start(*arguments):
        server = Server(*arguments)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def teacher_of(server, **changes):
    return EndpointTeacher(server.url, "some-model", first_wait_seconds=0.01, **changes)


def text_of(teacher, stage, ask):
    ((_, text),) = teacher.answer(stage, [ask], SAMPLING)
    return text


def said(body):
    return body["messages"][-1]["content"]


def test_it_sends_what_it_should_and_tries_again(serve, monkeypatch):
    monkeypatch.setenv("SOME_KEY", "secret")
    server = serve(lambda body: said(body).upper(), [503, "hang up", 429, 500])
    teacher = teacher_of(server, key_variable="SOME_KEY", system="Be brief.")
    ask = Ask("0", "hello", seed=7)
    assert list(teacher.answer("tests", [ask], SAMPLING)) == [(ask, "HELLO")]
    assert len(server.seen) == 5
    for path, headers, body in server.seen:
        assert path == "/v1/chat/completions"
        assert {k.lower(): v for k, v in headers.items()}["authorization"] == "Bearer secret"
        assert body == {
            "model": "some-model",
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "hello"},
            ],
            "temperature": 0.5,
            "top_p": 0.9,
            "max_tokens": 20,
            "seed": 7,
        }
    assert "secret" not in json.dumps(dict(teacher.describe()))


@pytest.mark.parametrize(
    ("failures", "message", "requests"),
    [
        ([401], r"does not answer \(status 401: it failed\)", 1),
        ([503] * 9, r"does not answer \(status 503", 3),
        (["no JSON"], "answers in another format: no JSON", 1),
        (['{"choices": []}'], "answers in another format", 1),
    ],
)
def test_what_cannot_be_mended_is_told(serve, failures, message, requests):
    server = serve(said, failures)
    with pytest.raises(UserError, match=message):
        list(teacher_of(server, retries=2).answer("tests", [Ask("0", "hello")], SAMPLING))
    assert len(server.seen) == requests


def test_no_key_is_sent_without_the_variable(serve, monkeypatch):
    monkeypatch.delenv("SOME_KEY", raising=False)
    server = serve(said)
    list(teacher_of(server, key_variable="SOME_KEY").answer("tests", [Ask("0", "x")], SAMPLING))
    assert "authorization" not in {name.lower() for name in server.seen[0][1]}


def test_requests_keep_the_distance_that_is_asked_for(serve):
    server = serve(said, [429])
    teacher = teacher_of(server, requests_per_minute=1200, retries=1)
    began = time.monotonic()
    assert len(list(teacher.answer("tests", [Ask(str(n), "x") for n in range(3)], SAMPLING))) == 3
    assert len(server.seen) == 4 and time.monotonic() - began >= 3 * 60 / 1200
    with pytest.raises(UserError, match="requests_per_minute = 0: set it above 0"):
        teacher_of(server, requests_per_minute=0)


def test_a_whole_pass_over_it_with_a_breakdown_in_between(serve, teacher, tmp_path):
    """What the known teacher knows, asked for by prompts alone, several at a time."""
    lock = threading.Lock()
    together, met = threading.Barrier(2), []  # the first two solutions are under way at once
    given = {}

    def reply(body):
        prompt = said(body)
        with lock:  # asked once more after the breakdown, it says the same to the same seed
            number = given.setdefault((prompt, body["seed"]), len(given))
        if prompt.startswith("You prepare"):
            return text_of(teacher, "questions", Ask("", "", number=number))
        question = prompt.rpartition("Task: ")[2].partition("\nTest: ")[0]
        if "[/PYTHON]" in prompt:
            if len(met) < 2:
                met.append(prompt)
                together.wait(60)
            solution = teacher.known[question].problem.solution
            return f"Here it is.\n[PYTHON]\n{solution}\n[/PYTHON]"
        return text_of(teacher, "tests", Ask("", "", question))

    server = serve(reply, [None] * 12 + [401])
    asked = teacher_of(server, concurrency=4)

    def run(folder):
        numbers = {**NUMBERS, "questions": len(teacher.lines)}
        return self_instruct(asked, asked, asked, str(folder), **numbers)

    # Which prompt is answered with which questions is the order in which they arrive.
    first = EndpointTeacher(server.url, "some-model", concurrency=1)
    with pytest.raises(UserError, match="401"):
        self_instruct(first, asked, asked, str(tmp_path / "pass"), **NUMBERS,
                      questions=len(teacher.lines))  # fmt: skip
    answered = {(said(body), body["seed"]) for _, _, body in server.seen[:12]}
    found = run(tmp_path / "pass")
    again = [(said(body), body["seed"]) for _, _, body in server.seen[13:]]
    assert not set(again) & answered and len(again) == len(set(again))
    assert not together.broken
    assert found["stages"]["triplets"]["count"] > 0
    assert score(tmp_path / "pass", teacher)["bad_tests"] == 0
