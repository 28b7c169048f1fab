"""Work that was interrupted goes on with the parameters that it was begun with."""

from pathlib import Path
from typing import Any

from codellama_jax.corpus.manifest import differences
from codellama_jax.errors import UserError


def check_begun(folder: Path, begun: dict[str, Any], given: dict[str, Any], setting: str) -> None:
    """That the parameters given are those that work in a folder was begun with, both as JSON.

    Args:
      setting: the gin parameter that names another folder.

    Raises:
      UserError: they differ.
    """
    if differing := differences(begun, given):
        raise UserError(
            f"{folder} was begun with other parameters ({'; '.join(differing)}): give them again to"
            f" continue, delete it to begin anew, or set another {setting}"
        )
