"""The text of a continuation while it grows, and where it stops."""

from collections.abc import Sequence

from codellama_jax.text import Vocabulary

_CUT = "\N{REPLACEMENT CHARACTER}"


def stopped(text: str, stops: Sequence[str]) -> str:
    """The text up to where that stop begins which is complete first, as it is when text grows."""
    found = [(at + len(stop), at) for stop in stops if (at := text.find(stop)) >= 0]
    return text[: min(found)[1]] if found else text


class GrowingText:
    """Text of ids that come piece by piece; each is decoded once.

    Args:
      vocabulary: of the ids.
      begins: the ids begin a text instead of continuing one.
      stops: it ends where one of these begins.
    """

    def __init__(self, vocabulary: Vocabulary, begins: bool, stops: Sequence[str]):
        self._vocabulary, self._begins, self._stops = vocabulary, begins, stops
        self._longest = max(map(len, stops), default=0)
        self._decoded, self._shown = 0, 0  # ids, and characters of the text
        self._text = ""

    def hear(self, ids: Sequence[int], last: bool = False) -> bool:
        """Takes all ids so far, or the `last` time; True if one of the stops is in their text."""
        begins = self._begins and not self._decoded
        decode = self._vocabulary.decode if begins else self._vocabulary.decode_infix
        part = decode(ids[self._decoded :])
        if part.endswith(_CUT) and not last:  # the other bytes of a character may follow
            return False
        self._decoded = len(ids)
        searched = max(0, len(self._text) - self._longest)
        self._text += part
        return any(self._text.find(stop, searched) >= 0 for stop in self._stops)

    def news(self) -> str:
        """What may be shown and was not yet: not what may be the beginning of a stop."""
        text = stopped(self._text, self._stops)
        for size in range(min(self._longest - 1, len(text)), 0, -1):
            if any(stop.startswith(text[-size:]) for stop in self._stops):
                return self._show(text[:-size])
        return self._show(text)

    def rest(self, ids: Sequence[int]) -> str:
        """What was not shown when these are all ids."""
        self.hear(ids, last=True)
        return self._show(stopped(self._text, self._stops))

    def _show(self, text: str) -> str:
        part = text[self._shown :]
        self._shown += len(part)
        return part
