"""How long a password would stand against guessing, by zxcvbn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.translation import gettext as _
from zxcvbn import zxcvbn

#: Below this score a password is refused: fewer than 10⁸ guesses.
LEAST_SCORE = 2
#: zxcvbn's time grows fast with length, and beyond this it finds every password strong. Characters.
LOOKED_AT = 72
#: Symbols that stand for letters, and those letters. zxcvbn tries every combination of them that a password could
#: mean, which takes seconds for one that has many: with more than so many of them each is read in one way only.
_SYMBOLS = str.maketrans("@({[<!|$+%", "accccilstx")
_TRIED = 2


@dataclass(frozen=True)
class Strength:
    """A score from 0 to 4, its name, and what would make it better."""

    score: int
    label: str
    advice: list[str]

    @property
    def good_enough(self) -> bool:
        """Whether it is accepted."""
        return self.score >= LEAST_SCORE


def strength(password: str, known: Sequence[str] = ()) -> Strength:
    """Return how strong `password` is for somebody of whom `known` is known (name, address)."""
    if not password:
        return Strength(0, "", [])
    looked_at = password[:LOOKED_AT]
    if sum(chr(symbol) in looked_at for symbol in _SYMBOLS) > _TRIED:
        looked_at = looked_at.translate(_SYMBOLS)
    result = zxcvbn(looked_at, user_inputs=[word for word in known if word])
    score = int(result["score"])
    labels = (_("Very weak"), _("Weak"), _("Fair"), _("Good"), _("Strong"))
    advice = [] if score >= LEAST_SCORE else [_("Add a few words that do not belong together.")]
    return Strength(score, labels[score], advice)
