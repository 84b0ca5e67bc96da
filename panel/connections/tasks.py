"""Jobs of the connection log."""
