"""Batches on hosts that are processes of their own, joined by jax.distributed."""

import hashlib
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import ROOT

from .conftest import ROW
from .host import MESH, STEPS

BATCH = 8


def expected(stream):
    """What all hosts together should hold of each batch asked for."""
    columns = MESH["context"]
    batches = []
    for step in (step for first, last in STEPS for step in range(first, last)):
        parts = {}
        for row in range(BATCH):
            for name, values in stream.row(step * BATCH + row).items():
                cut = values.reshape(columns, -1) if values.ndim else values.reshape(1, 1)
                for n, part in enumerate(cut):
                    digest = hashlib.sha256(part.tobytes()).hexdigest()[:16]
                    parts[f"{step}/{name}/{row}/{n * len(part)}"] = digest
        batches.append(parts)
    return batches


@pytest.mark.parametrize("hosts", [2, 4, pytest.param(8, marks=pytest.mark.slow)])
def test_hosts_together_hold_the_same_bytes(prepared, stream, hosts):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        coordinator = f"127.0.0.1:{free.getsockname()[1]}"
    script = Path(__file__).with_name("host.py")
    processes = []
    try:
        for host in range(hosts):
            words = [sys.executable, script, coordinator, hosts, host, prepared, ROW, BATCH]
            environment = {**os.environ, "PYTHONPATH": str(ROOT)}
            processes.append(
                subprocess.Popen(
                    list(map(str, words)),
                    env=environment,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
        told = []
        for process in processes:
            out, error = process.communicate(timeout=300)
            assert process.returncode == 0, error[-3000:]
            told.append(json.loads(out.splitlines()[-1]))
    finally:
        for process in processes:
            process.kill()
    for n, batch in enumerate(expected(stream)):
        together = {}
        for of_host in told:
            assert len(of_host[n]) < len(batch)
            for place, digest in of_host[n].items():
                assert together.setdefault(place, digest) == digest
        assert together == batch
