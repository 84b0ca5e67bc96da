"""What the panel says in English, extracted from its sources, and the catalogues that translate it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import polib

CHECKOUT = Path(__file__).resolve().parents[2]
#: Where sentences for people are written.
SOURCES = ("panel", "templates")
#: All that differs from one extraction to the next, or says where a sentence stands: merges would conflict over it.
_HEADER = {
    "MIME-Version": "1.0",
    "Content-Type": "text/plain; charset=UTF-8",
    "Content-Transfer-Encoding": "8bit",
}


def catalogues() -> list[Path]:
    """Return the catalogues that translators write, one for each language."""
    return sorted((CHECKOUT / "locale").glob("*/LC_MESSAGES/django.po"))


def extracted() -> polib.POFile:
    """Return all that is marked for translation in the sources, by Django's makemessages.

    It works on a copy: makemessages writes files beside the ones it reads.

    Raises:
        subprocess.CalledProcessError: if a source cannot be read; what is wrong stands on standard error.
    """
    with tempfile.TemporaryDirectory() as folder:
        for name in SOURCES:
            shutil.copytree(
                CHECKOUT / name,
                Path(folder, name),
                ignore=shutil.ignore_patterns("__pycache__", "migrations"),
            )
        Path(folder, "locale").mkdir()
        options = ["--locale", "en", "--no-location", "--no-wrap", "--keep-pot"]
        subprocess.run(
            [sys.executable, "-m", "django", "makemessages", *options],
            cwd=folder,
            # The copy needs no settings, and has not all that they need.
            env={name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"},
            check=True,
            stdout=subprocess.DEVNULL,
        )
        return polib.pofile(str(Path(folder, "locale", "django.pot")))


def merged(template: polib.POFile, known: polib.POFile) -> polib.POFile:
    """Return a catalogue of what the sources say now, with the translations that are known.

    Nothing is guessed from sentences that resemble: what is new is empty. Sorted by the English, so that two
    branches that add sentences rarely touch the same lines.
    """
    catalogue = polib.POFile(wrapwidth=-1)
    catalogue.metadata = _HEADER | {
        name: value for name, value in known.metadata.items() if name in ("Language", "Plural-Forms")
    }
    translations = {_key(entry): entry for entry in known if not entry.obsolete}
    for entry in sorted(template, key=_order):
        # Comments tell translators something; where a sentence stands, and which version it was, they need not know.
        found = translations.get(_key(entry))
        entry.occurrences = []
        entry.flags = [flag for flag in entry.flags if flag != "fuzzy"]
        if found is not None:
            entry.msgstr, entry.msgstr_plural = found.msgstr, found.msgstr_plural
        catalogue.append(entry)
    return catalogue


def write(catalogue: polib.POFile, path: Path) -> None:
    """Write a catalogue."""
    path.write_text(f"{catalogue}\n", "utf-8")


def _key(entry: polib.POEntry) -> tuple[str | None, str, str]:
    return entry.msgctxt, entry.msgid, entry.msgid_plural


def _order(entry: polib.POEntry) -> tuple[str, str]:
    return entry.msgid, entry.msgctxt or ""
