"""What French typography asks for, and the words of the field (see the design): found by patterns."""

from __future__ import annotations

import re

NARROW = "\N{NARROW NO-BREAK SPACE}"
WIDE = "\N{NO-BREAK SPACE}"

#: What is no prose: placeholders, tags with their attributes, addresses, times and commands.
_NO_PROSE = re.compile(
    r"\bALTER ROLE [^.]*;|^\w+; \w[^;\n]*; .*$|^\w+; \w+$|(?:\ba:)?%\(\w+\)[sd]|<[^>]*>|\bhttps?://\S+|\b[A-Z_]{3,}\b|\w+@[\w.]*"
    r"|\d{4}-\d\d-\d\dT\S+|\bkeep:\w+|\bmanage\.py [\w -]+|--[\w-]+",
    re.MULTILINE,
)
#: Stands where something was that is no prose.
_GAP = "\N{OBJECT REPLACEMENT CHARACTER}"

_RULES = (
    (rf"[^{NARROW}\s]+[ {WIDE}]?[;!?]+(?!\w)", rf"(?<!{NARROW})[;!?]", "U+202F stands before ; ! ?"),
    (r".{0,12}:", rf"(?<!{WIDE}):(?!\w)", "U+00A0 stands before :"),
    (r"«.{0,12}", rf"«(?!{WIDE})", "U+00A0 follows «"),
    (r".{0,12}»", rf"(?<!{WIDE})»", "U+00A0 stands before »"),
    (r".{0,12}[\"“”].{0,12}", r"[\"“”]", "quotation marks are « »"),
    (r".{0,12}'.{0,12}", r"'", "the apostrophe is ’"),
    (r".{0,12}\.\.\.", r"\.\.\.", "the ellipsis is one character: …"),
    (r".{0,12}\d [GMKT]o\b", r"\d [GMKT]o\b", "U+00A0 stands between a number and its unit"),
    (r".{0,12}\b\d(?:[ ,]\d{3})+\b", r"\d[ ,]\d{3}\b", "thousands are set apart by U+202F"),
    (r".{0,12}\b[GMKT](?:i?B|io)\b", r"\b[GMKT](?:i?B|io)\b", "sizes are Ko, Mo, Go, To"),
    (r".{0,12}  ", r"(?<=\w)  (?=\w)", "one space is enough"),
)

#: Words that the field has better ones for: the pattern, and what to write.
_WORDS = (
    (r"bo[iî]tes? (?:mails?|e-mails?|de messagerie|de réception pleine)", "boîte aux lettres"),
    (r"\bboites?\b", "boîte"),
    (r"(?<!e-)\be?mails?\b(?!\.)", "e-mail, message or courrier"),
    (r"\b(?:spams?|pourriels?|courriers? indésirables?)\b", "Indésirables"),
    (r"\b(?:passkeys?|clés? de passe)\b", "clé d’accès"),
    (r"\b(?:double authentification|2FA|second facteur|deux facteurs)\b", "validation en deux étapes"),
    (r"\bmots? de passe d’applications?\b", "mot de passe d’appareil"),
    (r"\brétention\b", "conservation"),
    (r"\b(?:login|logout|logue[rz]?|uploader|supporter|digital|cliquez ici)\b", "a French word"),
    (r"\b(?:veuillez|merci de|s’il vous plaît)\b", "say it plainly"),
    (r"\b(?:tu|ton|tes|toi)\b", "vous"),
    (r"\bpoubelle\b", "corbeille"),
)


def faults(text: str) -> list[str]:
    """Return what is wrong with a French sentence: where, and the rule."""
    prose = _NO_PROSE.sub(_GAP, text)
    found = [
        f"{match[0]!r}: {rule}"
        for around, pattern, rule in _RULES
        if re.search(pattern, prose)
        for match in [re.search(around, prose) or re.search(pattern, prose)]
        if match
    ]
    for pattern, better in _WORDS:
        match = re.search(pattern, prose, re.IGNORECASE)
        if match:
            found.append(f"{match[0]!r}: {better}")
    return found
