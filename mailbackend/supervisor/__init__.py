"""The one process that launches Dovecot and keeps it running. No Django in here: it may run as root."""
