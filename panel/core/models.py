"""The installation itself, jobs, and the audit trail."""

from __future__ import annotations

from datetime import timedelta

from django.db import models
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy


class Installation(models.Model):
    """One row: which mail root this database belongs to, and what all customers inherit.

    Without the marker of the same id in the mail root, nothing is started, created or repaired.
    """

    mail_root_id = models.CharField(max_length=32)
    # What customers inherit (panel.addresses.inherited); nothing is what is built in.
    default_quota_bytes = models.BigIntegerField(null=True, blank=True)
    pop_deletes = models.CharField(max_length=10, blank=True)
    pop_keep_days = models.PositiveIntegerField(null=True, blank=True)
    # How long the connection log goes back, and how long what was deleted can be restored. Days.
    connection_days = models.PositiveIntegerField(default=90)
    recovery_days = models.PositiveIntegerField(default=14)
    version = models.PositiveIntegerField(default=1)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.CheckConstraint(condition=models.Q(id=1), name="one_installation")]

    def __str__(self) -> str:
        return "this host"


class Job(models.Model):
    """Work that is done after the answer: saved with what asks for it, so that it is never forgotten."""

    class State(models.TextChoices):
        """Where a job stands."""

        QUEUED = "queued", _("Waiting")
        RUNNING = "running", _("Running")
        DONE = "done", _("Done")
        FAILED = "failed", _("Failed")
        EXPIRED = "expired", pgettext_lazy("job", "Came too late")

    kind = models.CharField(max_length=40)
    arguments = models.JSONField(default=dict)
    state = models.CharField(max_length=10, choices=State.choices, default=State.QUEUED)
    attempts = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)
    due_at = models.DateTimeField()
    # What the schedule starts makes way for its next run; NULL is for ever.
    expires_at = models.DateTimeField(null=True)
    # The process that does it (panel.core.processes), to find out when it is gone.
    worker = models.CharField(max_length=200, blank=True)
    in_foreground = models.BooleanField(default=False)  # by a command: whoever started that starts it again
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    changed_at = models.DateTimeField(auto_now=True)
    report = models.JSONField(default=dict)
    error = models.TextField(blank=True)

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["state", "due_at"], name="job_due"),
            models.Index(fields=["changed_at"], name="job_changed"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.pk}"

    @property
    def took(self) -> timedelta | None:
        """How long its last attempt took; None while that is not over."""
        if self.started_at is None or self.finished_at is None:
            return None
        return self.finished_at - self.started_at


class Scheduled(models.Model):
    """What an entry of the schedule did last, and whether it is paused. The schedule itself is in the settings."""

    name = models.CharField(max_length=60, unique=True)  # of a kind of job, or of a look
    paused_at = models.DateTimeField(null=True)
    paused_by = models.CharField(max_length=254, blank=True)
    ran_at = models.DateTimeField(null=True)
    job = models.ForeignKey(Job, null=True, on_delete=models.SET_NULL, related_name="+")
    # Of a look, which is no job: since when it runs, how long the last one took, and why it failed.
    running_since = models.DateTimeField(null=True)
    took = models.DurationField(null=True)
    error = models.TextField(blank=True)
    version = models.PositiveIntegerField(default=1)

    def __str__(self) -> str:
        return self.name


class AuditEntry(models.Model):
    """One change: who, for whom, when, from where, before and after. A trigger in the database keeps it as it is.

    Its references are numbers and names, not foreign keys: it outlives what it is about.
    """

    at = models.DateTimeField(auto_now_add=True)
    action = models.CharField(max_length=60)
    actor_kind = models.CharField(max_length=10)
    actor_id = models.BigIntegerField(null=True)
    actor = models.CharField(max_length=254, blank=True)
    on_behalf_of = models.CharField(max_length=100, blank=True)
    remote_ip = models.GenericIPAddressField(null=True)
    customer_id = models.BigIntegerField(null=True)
    target_kind = models.CharField(max_length=30)
    target_id = models.BigIntegerField(null=True)
    target = models.CharField(max_length=254)
    before = models.JSONField(default=dict)
    after = models.JSONField(default=dict)

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["customer_id", "-id"], name="audit_of_customer"),
            models.Index(fields=["target_kind", "target_id", "-id"], name="audit_of_target"),
            models.Index(fields=["actor_id", "-id"], name="audit_of_actor"),
            models.Index(fields=["action", "-id"], name="audit_of_action"),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.target}"
