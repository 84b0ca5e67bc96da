"""The mail service: storage, Dovecot and its supervisor. Knows nothing of Django, Celery or the panel's tables."""
