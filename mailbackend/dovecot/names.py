"""Names that Dovecot's configuration and what reads its log or asks its API must agree on."""

from __future__ import annotations

#: The namespace of what was removed from a mailbox. It begins with a dot, which no folder of a client's can hold: a dot
#: parts the levels of Maildir++ on disk, and Dovecot refuses one in a name.
RECOVERABLE_PREFIX = ".EXPUNGED/"
#: The one folder in it.
RECOVERABLE = f"{RECOVERABLE_PREFIX}all"

#: Rights of a mailbox's owner there (RFC 4314), in the form of Dovecot 2.3's global ACL file: see it and read it. What
#: holds the folder is no folder of messages, although IMAP could make it one.
RECOVERABLE_ACL = f"{RECOVERABLE_PREFIX.rstrip('/')} owner l\n{RECOVERABLE_PREFIX}* owner lr\n"
