"""The installation itself, jobs, and the audit trail."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


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

    kind = models.CharField(max_length=40)
    arguments = models.JSONField(default=dict)
    state = models.CharField(max_length=10, choices=State.choices, default=State.QUEUED)
    attempts = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)
    due_at = models.DateTimeField()
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
