"""Sessions and refused attempts, what is missing among them, and messages that were removed."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from panel.accounts.models import Customer, User
from panel.addresses.models import DevicePassword, Domain, Mailbox

#: Longest texts that a client chooses, as they are kept. Characters.
TRIED_MAX, CLIENT_MAX = 254, 100


class Connection(models.Model):
    """One session, or one refused attempt to begin one. Written by the recorder alone.

    Its mailbox, domain and customer are those of the moment when it was recorded. No constraint of the database
    holds them: the log outlives a purged mailbox.
    """

    class Protocol(models.TextChoices):
        """How mail is read."""

        IMAP = "imap", "IMAP"
        POP3 = "pop3", "POP"

    class Outcome(models.TextChoices):
        """What became of it."""

        ACCEPTED = "accepted", pgettext_lazy("connection", "Signed in")
        REFUSED = "refused", pgettext_lazy("connection", "Refused")

    class Refusal(models.TextChoices):
        """Why it was refused."""

        WRONG_PASSWORD = "wrong_password", _("Wrong password")
        UNKNOWN_ADDRESS = "unknown_address", _("Unknown address")
        SUSPENDED = "suspended", _("Mailbox suspended")
        PROTOCOL_OFF = "protocol_off", _("Protocol switched off")
        DEVICE_REVOKED = "device_revoked", _("Device password revoked")
        DEVICE_EXPIRED = "device_expired", _("Device password expired")
        DEVICE_REQUIRED = "device_required", _("Device password required")
        NO_TLS = "no_tls", _("Without encryption")
        TLS_FAILED = "tls_failed", _("Encryption failed")
        BLOCKED = "blocked", _("Blocked")
        TOO_MANY_CONNECTIONS = "too_many_connections", _("Too many connections")
        TEMPORARY_FAILURE = "temporary_failure", _("Temporary failure of the server")
        GAVE_UP = "gave_up", _("Went away without signing in")

    class End(models.TextChoices):
        """Why a session ended."""

        LOGGED_OUT = "logged_out", _("Signed out")
        CONNECTION_CLOSED = "connection_closed", _("Connection closed")
        IDLE = "idle", _("Idle too long")
        KICKED = "kicked", _("Ended by the host")
        SERVER_STOPPED = "server_stopped", _("Mail service stopped")

    # The key: which Dovecot, its session, and the number of the refused attempt in it; 0 is the session itself.
    node = models.CharField(max_length=40)
    session = models.CharField(max_length=60)
    attempt = models.PositiveIntegerField(default=0)
    protocol = models.CharField(max_length=4, choices=Protocol.choices)
    outcome = models.CharField(max_length=8, choices=Outcome.choices)
    # Of Refusal where it was refused; of End where it has ended; empty while it is open.
    reason = models.CharField(max_length=24, blank=True)
    address = models.CharField(
        max_length=TRIED_MAX, blank=True
    )  # lower case, made harmless; as tried if refused
    mailbox = models.ForeignKey(
        Mailbox, null=True, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    domain = models.ForeignKey(
        Domain, null=True, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    customer = models.ForeignKey(
        Customer,
        null=True,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="+",
    )
    credential = models.CharField(max_length=40, blank=True)  # "main", or "device" of a device password:
    device = models.ForeignKey(
        DevicePassword,
        null=True,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="+",
    )
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)  # of a refusal, when it was refused
    pid = models.BigIntegerField(null=True)  # of the process that serves it: how a crash is told
    remote_ip = models.CharField(max_length=45, blank=True)  # as `ipaddress` writes it
    remote_net = models.CharField(max_length=45, blank=True)  # its /24, or /48 of IPv6: for the index
    remote_port = models.PositiveIntegerField(null=True)
    tls = models.CharField(max_length=20, blank=True)  # "TLSv1.3"; empty is none
    cipher = models.CharField(max_length=60, blank=True)
    mechanism = models.CharField(max_length=20, blank=True)  # of SASL (RFC 4422); empty where none was tried
    client_name = models.CharField(max_length=CLIENT_MAX, blank=True)  # as IMAP's ID says (RFC 2971)
    client_version = models.CharField(max_length=CLIENT_MAX, blank=True)
    bytes_in = models.BigIntegerField(null=True)  # from the client, in bytes; NULL until the end
    bytes_out = models.BigIntegerField(null=True)
    retrieved = models.BigIntegerField(null=True)  # messages: POP's RETR, IMAP's fetched bodies
    deleted = models.BigIntegerField(null=True)  # messages: POP's DELE, IMAP's \Deleted
    expunged = models.BigIntegerField(null=True)  # messages: IMAP's EXPUNGE; POP's where it deletes at once

    class Meta:
        ordering = ["-started_at", "-id"]
        constraints = [
            models.UniqueConstraint(fields=["node", "session", "attempt"], name="connection_once"),
        ]
        # One for each thing that lists are led by, in the order in which they show.
        indexes = [
            models.Index(fields=["-started_at", "-id"], name="connection_when"),
            models.Index(fields=["address", "-started_at", "-id"], name="connection_address"),
            models.Index(fields=["mailbox", "-started_at", "-id"], name="connection_mailbox"),
            models.Index(fields=["domain", "-started_at", "-id"], name="connection_domain"),
            models.Index(fields=["customer", "-started_at", "-id"], name="connection_customer"),
            models.Index(fields=["remote_ip", "-started_at", "-id"], name="connection_ip"),
            models.Index(fields=["remote_net", "-started_at", "-id"], name="connection_net"),
            # Few of the sessions are a device password's: the index has those only.
            models.Index(
                fields=["device", "-started_at", "-id"],
                condition=Q(device__isnull=False),
                name="connection_device",
            ),
            models.Index(
                fields=["reason", "-started_at", "-id"],
                condition=Q(outcome="refused"),
                name="connection_refused",
            ),
            # Open sessions, which are few: of one mailbox for its page, of one Dovecot when that stops.
            models.Index(fields=["mailbox", "node"], condition=Q(ended_at=None), name="connection_open"),
            models.Index(
                fields=["-started_at", "-id"], condition=Q(ended_at=None), name="connection_open_when"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.protocol} {self.address} {self.session}"

    @property
    def is_open(self) -> bool:
        """Whether the session goes on, as far as is known."""
        return self.ended_at is None

    @property
    def reason_label(self) -> str:
        """Why it was refused, or ended, in a few words; empty while it is open."""
        kinds = self.Refusal if self.outcome == self.Outcome.REFUSED else self.End
        return str(kinds(self.reason).label) if self.reason in kinds.values else self.reason


class LogPosition(models.Model):
    """How far the log of a Dovecot is stored: saved in the same transaction as the rows.

    `pending` holds what lines before this place said of sessions whose row is not complete (JSON).
    """

    node = models.CharField(max_length=40, primary_key=True)
    segment = models.PositiveBigIntegerField(default=0)
    offset = models.PositiveBigIntegerField(default=0)  # bytes
    line_at = models.DateTimeField(null=True)  # of the last line that was stored
    pending = models.JSONField(default=dict)
    saved_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return f"{self.node} {self.segment}:{self.offset}"


class LogGap(models.Model):
    """A time of which the log does not tell everything, and why."""

    class Cause(models.TextChoices):
        """Why something is missing."""

        SEGMENTS_LOST = "segments_lost", _("Part of the log was given up, because the disk was nearly full")
        LOG_KILLED = "log_killed", _("Dovecot's log process was killed")
        LOG_DAMAGED = "log_damaged", _("Part of the log cannot be read")

    node = models.CharField(max_length=40)
    cause = models.CharField(max_length=20, choices=Cause.choices)
    began_at = models.DateTimeField(null=True)  # the last that is known before it
    ended_at = models.DateTimeField(null=True)  # the first that is known after it
    segments = models.PositiveIntegerField(default=0)  # how many are missing

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["ended_at"], name="log_gap_ended")]

    def __str__(self) -> str:
        return f"{self.cause} {self.began_at}"


class HourlyCount(models.Model):
    """How many sessions and refusals began in an hour, for the histogram: counted by the recorder with the rows."""

    hour = models.DateTimeField()
    customer = models.ForeignKey(
        Customer,
        null=True,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="+",
    )
    protocol = models.CharField(max_length=4, choices=Connection.Protocol.choices)
    outcome = models.CharField(max_length=8, choices=Connection.Outcome.choices)
    connections = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["hour", "customer", "protocol", "outcome"],
                name="hourly_count_once",
            ),
        ]
        indexes = [models.Index(fields=["customer", "hour"], name="hourly_count_customer")]

    def __str__(self) -> str:
        return f"{self.hour} {self.protocol} {self.outcome}"


class RemovedMessage(models.Model):
    """A message that was removed from a folder, and lies in the recoverable mail: what did it, and where it lies."""

    mailbox = models.ForeignKey(
        Mailbox, on_delete=models.CASCADE, db_index=False, related_name="removed_messages"
    )
    node = models.CharField(max_length=40)
    session = models.CharField(max_length=60, blank=True)  # of the connection; empty is a job of the panel
    protocol = models.CharField(max_length=10)  # imap, pop3, or doveadm
    folder = models.CharField(max_length=255)  # as Dovecot names it, UTF-8
    uid = models.PositiveBigIntegerField()  # in the recoverable mail
    removed_at = models.DateTimeField()

    class Meta:
        ordering = ["-removed_at", "-id"]
        constraints = [
            models.UniqueConstraint(fields=["mailbox", "uid"], name="removed_message_once"),
        ]
        indexes = [
            models.Index(fields=["mailbox", "-removed_at", "-id"], name="removed_of_mailbox"),
            models.Index(fields=["node", "session"], name="removed_by_session"),
            models.Index(fields=["removed_at"], name="removed_when"),
        ]

    def __str__(self) -> str:
        return f"{self.folder} {self.uid}"


class MailboxNotice(models.Model):
    """Something about how a mailbox is used that its owner is told, once: until somebody dismisses it."""

    class Kind(models.TextChoices):
        """What it is about."""

        SHARED_POP = "shared_pop", _("Two POP devices share one password")
        POP_AND_IMAP = "pop_and_imap", _("POP deletes, and IMAP is used too")
        NEW_NETWORK = "new_network", _("Opened from a new network")

    mailbox = models.ForeignKey(Mailbox, on_delete=models.CASCADE, db_index=False, related_name="notices")
    kind = models.CharField(max_length=20, choices=Kind.choices)
    network = models.CharField(max_length=45, blank=True)  # which is new; empty for the other kinds
    # The session by which it was found; it may be forgotten before this is.
    connection = models.ForeignKey(
        Connection,
        null=True,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="+",
    )
    happened_at = models.DateTimeField()
    dismissed_at = models.DateTimeField(null=True)
    dismissed_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")

    class Meta:
        ordering = ["-happened_at", "-id"]
        constraints = [
            models.UniqueConstraint(fields=["mailbox", "kind", "network"], name="mailbox_notice_once"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.network}".strip()
