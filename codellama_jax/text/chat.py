"""Llama 2's chat format, for fine-tuning and for prompts alike (paper section 2.5).

  bos [INST] <<SYS>>\\nsystem\\n<</SYS>>\\n\\nuser [/INST] answer eos bos [INST] user [/INST]

Question and answer are encoded apart, so that a prompt is exactly what training saw before an
answer; the implicit leading space of the answer's encoding is the space behind "[/INST]".
"""

from collections.abc import Sequence
from typing import NamedTuple, TypedDict

from codellama_jax.errors import UserError
from codellama_jax.text.vocabulary import Vocabulary

_TAGS = ("[INST]", "[/INST]", "<<SYS>>", "<</SYS>>")


class Message(TypedDict):
    """One turn; role is "system" (first only), "user" or "assistant"."""

    role: str
    content: str


class Rendered(NamedTuple):
    """ids: tokens from bos; in_loss: True on answers and the eos that ends each."""

    ids: list[int]
    in_loss: list[bool]


def render_dialogue(vocabulary: Vocabulary, messages: Sequence[Message]) -> Rendered:
    """A whole dialogue that ends with an answer. Raises UserError as `chat_prompt` does."""
    pairs, question = _pairs(messages)
    if question is not None or not pairs:
        raise UserError("a training dialogue must end with an assistant message")
    return _render_pairs(vocabulary, pairs)


def chat_prompt(vocabulary: Vocabulary, messages: Sequence[Message]) -> list[int]:
    """Ids after which the model answers the last user message.

    Raises:
      UserError: roles that do not alternate, a last message that is not the user's, or a message
        that contains one of the format's own tags.
    """
    pairs, question = _pairs(messages)
    if question is None:
        raise UserError("a chat prompt must end with a user message")
    past = _render_pairs(vocabulary, pairs).ids
    return [*past, vocabulary.bos_id, *vocabulary.encode(f"[INST] {question} [/INST]")]


def _render_pairs(vocabulary: Vocabulary, pairs: list[tuple[str, str]]) -> Rendered:
    ids: list[int] = []
    in_loss: list[bool] = []
    for user, answer in pairs:
        asked = [vocabulary.bos_id, *vocabulary.encode(f"[INST] {user} [/INST]")]
        told = [*vocabulary.encode(f"{answer} "), vocabulary.eos_id]
        ids += asked + told
        in_loss += [False] * len(asked) + [True] * len(told)
    return Rendered(ids, in_loss)


def _pairs(messages: Sequence[Message]) -> tuple[list[tuple[str, str]], str | None]:
    turns = [(m["role"], m["content"].strip()) for m in messages]
    for role, content in turns:
        if found := [tag for tag in _TAGS if tag in content]:
            raise UserError(f"a {role} message contains {found[0]}, a tag of the chat format")
    if turns and turns[0][0] == "system":
        if len(turns) < 2 or turns[1][0] != "user":
            raise UserError("a system message must be followed by a user message")
        (_, system), (_, user) = turns[:2]
        turns[:2] = [("user", f"<<SYS>>\n{system}\n<</SYS>>\n\n{user}")]
    for n, (role, _) in enumerate(turns):
        if role != ("user", "assistant")[n % 2]:
            raise UserError(
                f"message {n + 1} of a dialogue has role {role!r}: roles must alternate"
            )
    texts = [content for _, content in turns]
    question = texts.pop() if len(texts) % 2 else None
    return list(zip(texts[::2], texts[1::2])), question
