"""The hash of people's passwords: the same Argon2id as the mailboxes', 12 ms and 19 MiB each."""

from django.contrib.auth.hashers import Argon2PasswordHasher

from mailbackend import passwords


class Argon2id(Argon2PasswordHasher):
    """Django's hasher with our costs (its own take 100 MiB and 190 ms)."""

    time_cost = passwords.PASSES
    memory_cost = passwords.MEMORY_KIB
    parallelism = passwords.LANES
