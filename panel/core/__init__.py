"""What every part uses: files of keys, the mail service's clients, jobs, command furniture, page furniture."""
