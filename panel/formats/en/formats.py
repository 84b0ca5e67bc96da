"""English dates: the short one names its month, because 12/9 is read in two ways."""

SHORT_DATE_FORMAT = "N j, Y"
