"""HTML pages that open offline, from templates beside the code that fills them.

Each template extends page.html, which holds what all pages look like.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import jinja2


def page_environment() -> "jinja2.Environment":
    """How all templates are read, values escaped; raises ImportError without jinja2."""
    import jinja2

    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def rendered(template: Path, **values: Any) -> str:
    """The page of a template; raises ImportError without jinja2."""
    text = template.read_text(encoding="utf-8")
    return page_environment().from_string(text).render(**values)
