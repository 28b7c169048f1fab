"""Sources, tasks and mixtures of the paper, seekable row streams, host loader."""

from codellama_jax.data.quiet import import_tensorflow

import_tensorflow()  # before any module of this room imports seqio, which would do it aloud

from codellama_jax.data.inspect import inspect  # noqa: E402
from codellama_jax.data.loader import Batch, HostLoader  # noqa: E402
from codellama_jax.data.packing import pack  # noqa: E402
from codellama_jax.data.records import Records  # noqa: E402
from codellama_jax.data.stream import RowStream  # noqa: E402
from codellama_jax.data.tasks import register  # noqa: E402

__all__ = ["Batch", "HostLoader", "Records", "RowStream", "inspect", "pack", "register"]
