"""Parameters by path."""

from typing import Any

import jax

from codellama_jax.model import Params


def flat(tree: Params) -> dict[str, Any]:
    """Leaves by path, "layers/attention/query"; a tuple of axis names is a leaf."""
    leaves = jax.tree.leaves_with_path(tree, is_leaf=lambda node: isinstance(node, tuple))
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in leaves}
