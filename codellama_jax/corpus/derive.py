"""Makes questions, prose and dialogues out of Python documents; runs in the worker processes."""

import ast
from collections.abc import Sequence
from dataclasses import dataclass, field

from codellama_jax.corpus import filters
from codellama_jax.corpus.deduplicate import DeduplicateSettings, sign
from codellama_jax.corpus.definitions import definitions, parse
from codellama_jax.corpus.dialogues import DialogueSettings, dialogue
from codellama_jax.corpus.document import Document
from codellama_jax.corpus.filters import FilterSettings
from codellama_jax.corpus.questions import QuestionSettings, choose, prose, question


@dataclass(frozen=True)
class DeriveSettings:
    """Everything that decides what is made of a document."""

    limits: FilterSettings = field(default_factory=FilterSettings)
    signing: DeduplicateSettings = field(default_factory=DeduplicateSettings)
    questions: QuestionSettings = field(default_factory=QuestionSettings)
    dialogues: DialogueSettings = field(default_factory=DialogueSettings)


def derive_batch(documents: Sequence[Document], settings: DeriveSettings) -> list[Document]:
    """Signed documents made from Python ones, in their order; each names its parent."""
    return [made for document in documents for made in derive(document, settings)]


def derive(document: Document, settings: DeriveSettings) -> list[Document]:
    """Signed documents made from one; none when it does not parse."""
    tree = parse(document.text)
    if tree is None:
        return []
    made = []
    docstring = ast.get_docstring(tree)
    if docstring and filters.reads_as_prose(docstring, settings.limits):
        made.append(prose(docstring, "docstring", document, settings.questions))
    found = definitions(document.text, tree)
    asked = choose(found, document.path, settings.questions.max_per_document)
    for definition in found:
        text = None
        if definition.kind == "class" and filters.reads_as_prose(
            definition.docstring, settings.limits
        ):
            text = prose(definition.docstring, definition.name, document, settings.questions)
        # A docstring is used once outside the dialogues: as prose, or in an answer.
        if text is None and definition in asked:
            text = question(definition, document, settings.questions)
        made.append(text)
        made.append(dialogue(definition, document, settings.dialogues))
    return [
        sign(new, settings.signing)
        for new in made
        if new is not None and not filters.reason_to_drop_text(new.text, settings.limits)
    ]
