"""`make messages`: bring each language's catalogue to what the sources say now, and say what is to be translated."""

from __future__ import annotations

import sys

import polib

from launch.catalogues import compile_catalogues
from tests.translations.extraction import CHECKOUT, catalogues, extracted, merged, write


def main() -> int:
    """Merge, and compile what came of it. Returns 1 while something is not translated yet."""
    is_whole = True
    for path in catalogues():
        catalogue = merged(extracted(), polib.pofile(str(path)))
        write(catalogue, path)
        missing = [entry.msgid for entry in catalogue if not entry.translated()]
        sys.stdout.write(f"{path.relative_to(CHECKOUT)}: {len(catalogue)} sentences\n")
        for sentence in missing:
            sys.stdout.write(f"  not translated yet: {sentence!r}\n")
        is_whole = is_whole and not missing
    compile_catalogues(CHECKOUT / "locale")
    return 0 if is_whole else 1


if __name__ == "__main__":
    sys.exit(main())
