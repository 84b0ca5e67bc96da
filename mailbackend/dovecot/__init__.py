"""Dovecot: its configuration, its queries, its API."""
