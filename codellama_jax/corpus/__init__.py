"""Offline preparation of a corpus: collect, filter, de-duplicate, split, tokenise, write."""

from codellama_jax.corpus.languages import SOURCES
from codellama_jax.corpus.manifest import read_manifest
from codellama_jax.corpus.prepare import prepare
from codellama_jax.corpus.shards import read_shard
from codellama_jax.corpus.tokens import tokens_file

__all__ = ["SOURCES", "prepare", "read_manifest", "read_shard", "tokens_file"]
