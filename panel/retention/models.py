"""Since when POP hides the messages that are kept for some days."""

from __future__ import annotations

from django.db import models

from panel.addresses.models import Mailbox


class KeptCopy(models.Model):
    """A message of an inbox that a POP program deleted, and of which a copy is kept for some days.

    There are rows where that is what becomes of such messages, and for as long as the message lies in the inbox with
    one of POP's marks. What the days are is said by what the mailbox inherits, and not kept here.
    """

    mailbox = models.ForeignKey(Mailbox, on_delete=models.CASCADE, db_index=False, related_name="kept_copies")
    guid = models.CharField(max_length=255)  # the message, whatever becomes of the folder's index
    first_seen_at = models.DateTimeField()  # when it was first found to be hidden
    ends_from = models.DateTimeField()  # its days count from here: the later of that and its arrival

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["mailbox", "guid"], name="kept_copy_once"),
        ]
        indexes = [models.Index(fields=["ends_from"], name="kept_copy_ends")]

    def __str__(self) -> str:
        return self.guid
