"""The labels that we name of Thunderbird are those that it has, in each language: looked up in Debian's packages."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import pytest

from panel.clients import programs

#: Where Debian's thunderbird and thunderbird-l10n-fr keep what Thunderbird says.
SAID_IN = {
    "en": Path("/usr/lib/thunderbird/omni.ja"),
    "fr": Path("/usr/lib/thunderbird/extensions/langpack-fr@thunderbird.mozilla.org.xpi"),
}
#: The picture of the menu, and what is written so in every language.
NO_LABELS = {"≡", "IMAP", "POP3", "SSL/TLS", "STARTTLS"}


@pytest.mark.long
@pytest.mark.parametrize("language", sorted(SAID_IN))
def test_thunderbird_says_what_we_say_it_does(language: str) -> None:
    if not SAID_IN[language].exists():
        pytest.skip("apt-get install thunderbird thunderbird-l10n-fr")
    with zipfile.ZipFile(SAID_IN[language]) as said_in:
        said = "\n".join(
            said_in.read(name).decode("utf-8", "replace")
            for name in said_in.namelist()
            if re.search(r"(?:messenger|security)/.*\.(?:ftl|dtd|properties)\Z", name)
        )
    text = (programs.BUILT_IN / f"thunderbird.{language}.toml").read_text("utf-8")
    named = {label for label in re.findall(r"\*([^*]+)\*", text) if "{" not in label} - NO_LABELS
    labels = {part.strip() for label in named for part in label.split("…") if part.strip()}
    assert len(labels) > 8
    assert {
        label for label in labels if not re.search(rf"{re.escape(label)}\b", said, re.IGNORECASE)
    } == set()
