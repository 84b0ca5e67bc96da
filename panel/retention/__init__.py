"""How long mail is kept: copies of what POP programs delete, and the way from POP to IMAP and back."""
