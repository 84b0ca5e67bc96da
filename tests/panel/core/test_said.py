"""What is said where no reader is known is told in the reader's language, with what stands in it."""

from __future__ import annotations

import pytest
from django.utils import translation

from panel.core.said import LONGEST, in_words


@pytest.mark.parametrize(
    ("english", "french"),
    [
        ("Its creation was cut off.", "Sa création a été interrompue."),
        (
            "A domain has at most 253 characters.",
            "Un domaine ne dépasse pas 253\N{NO-BREAK SPACE}caractères.",
        ),
        (
            "The new configuration is not in use: Dovecot refuses the configuration: line 3",
            "La nouvelle configuration n’est pas en service\N{NO-BREAK SPACE}: "
            "Dovecot refuse la configuration\N{NO-BREAK SPACE}: line 3",
        ),
        ("Nobody listed this.", "Nobody listed this."),
        ("x" * (LONGEST + 1), "x" * (LONGEST + 1)),
        ("", ""),
    ],
)
def test_sentences_are_told(english: str, french: str) -> None:
    with translation.override("fr"):
        assert in_words(english) == french
    with translation.override("en"):
        assert in_words(english) == english
