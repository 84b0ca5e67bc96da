"""Domains and mailboxes, and the SQL views that Dovecot reads."""
