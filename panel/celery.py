"""The Celery application. Its schedule is in the settings."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "panel.settings")

app = Celery("restante")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
