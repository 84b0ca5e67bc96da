"""The connection log: what the mail service's own log says, as rows, and what it tells people."""
