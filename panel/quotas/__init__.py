"""What mailboxes hold: checks, history, warnings and forecasts."""
