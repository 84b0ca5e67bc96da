"""French dates and numbers: `9 décembre 2026 à 14 h 05`, kept together by no-break spaces."""

DATE_FORMAT = "j\N{NO-BREAK SPACE}F Y"
TIME_FORMAT = "H\N{NO-BREAK SPACE}\\h\N{NO-BREAK SPACE}i"
DATETIME_FORMAT = f"{DATE_FORMAT} à {TIME_FORMAT}"
THOUSAND_SEPARATOR = "\N{NARROW NO-BREAK SPACE}"
