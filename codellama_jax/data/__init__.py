"""Sources, tasks and mixtures of the paper, seekable row streams, host loader."""

from codellama_jax.data.loader import Batch, HostLoader
from codellama_jax.data.records import Records
from codellama_jax.data.stream import RowStream
from codellama_jax.data.tasks import register

__all__ = ["Batch", "HostLoader", "Records", "RowStream", "register"]
