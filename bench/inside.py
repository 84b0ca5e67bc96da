"""The panel's side of the measurements, a process of its own: one JSON line in, one JSON line out.

Run as `python -m bench.inside` in the environment of a stand, as the account that owns the mail, so that the
panel's services and the bare file operations they are compared with do the same work as the same user.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import secrets
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import django
from django.conf import settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "panel.settings")
django.setup()

from django.db import connection  # noqa: E402 - models need the setup
from django.test import Client, override_settings  # noqa: E402
from django.utils import timezone  # noqa: E402

from bench import inside_addresses, inside_devices, inside_purge, inside_quotas, inside_recorder  # noqa: E402
from bench.filling import empty_log, fill_log  # noqa: E402
from mailbackend.passwords import hash_password  # noqa: E402
from panel.accounts.customers import create_customer  # noqa: E402
from panel.accounts.models import Customer, User  # noqa: E402
from panel.accounts.services import create_admin  # noqa: E402
from panel.addresses import services  # noqa: E402
from panel.addresses.bulk import NewMailbox, create_mailboxes  # noqa: E402
from panel.addresses.models import Domain, Mailbox  # noqa: E402

_ADMIN = "admin@weight.test"
_PASSWORD = "a sentence for the bench"  # noqa: S105 - of mailboxes that live for minutes


def main() -> None:
    """Answer requests until standard input ends."""
    works: dict[str, Callable[..., dict[str, Any]]] = {
        "populate": populate,
        "homes": homes,
        "one_by_one": one_by_one,
        "in_bulk": in_bulk,
        "bare": bare,
        "queries": queries,
        "fill_lists": fill_lists,
        "empty_lists": empty_lists,
        "fill_log": fill_log,
        "empty_log": empty_log,
        "pages": pages,
        "add_admin": add_admin,
        "remove_admin": remove_admin,
        "weigh": weigh,
        "add_devices": inside_devices.add_devices,
        "fill_inboxes": inside_devices.fill_inboxes,
        "write_log": inside_recorder.write_log,
        "remove_log": inside_recorder.remove_log,
        "record": inside_recorder.record,
        "create_rows": inside_recorder.create_rows,
        "record_many": inside_recorder.record_many,
        "await_row": inside_recorder.await_row,
        "ask_formats": inside_addresses.ask_formats,
        "fill_quotas": inside_quotas.fill_quotas,
        "empty_quotas": inside_quotas.empty_quotas,
        "check_quotas": inside_quotas.check,
        "walk_quotas": inside_quotas.walk,
        "say_rule": inside_purge.say_rule,
        "fill_trash": inside_purge.fill_trash,
        "purge": inside_purge.purge,
        "left_in_trash": inside_purge.left_in_trash,
        "empty_trash": inside_purge.empty_trash,
        "forget_rule": inside_purge.forget_rule,
    }
    for line in sys.stdin:
        request = json.loads(line)
        answer = works[request.pop("work")](**request)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def populate(domain: str, password: str, number: int) -> dict[str, Any]:
    """Create mailboxes to sign in to: `number` with Argon2id, `number` whose password is stored as it is."""
    made = [
        services.create_mailbox(
            domain=Domain.objects.get(name=domain), local_part=f"{kind}{index}", password=password
        )
        for kind in ("hashed", "plain")
        for index in range(number)
    ]
    hashed, plain = made[:number], made[number:]
    Mailbox.objects.filter(pk__in=[mailbox.pk for mailbox in plain]).update(password=f"{{PLAIN}}{password}")
    return {
        "hashed": [mailbox.address for mailbox in hashed],
        "plain": [mailbox.address for mailbox in plain],
    }


def homes(addresses: Sequence[str]) -> dict[str, Any]:
    """Return where the homes of these mailboxes are, relative to the mail root."""
    rows = Mailbox.objects.filter(address__in=addresses)
    return {"homes": dict(rows.values_list("address", "home"))}


def one_by_one(domain: str, number: int) -> dict[str, Any]:
    """Create mailboxes with the service, and return what each took in ms, without and with the hash.

    The hash is taken out by measuring the same one right after each creation.
    """
    row = Domain.objects.get(name=domain)
    created = hashed = 0.0
    for name in _names(number):
        started = time.perf_counter()
        services.create_mailbox(domain=row, local_part=name, password=_PASSWORD)
        between = time.perf_counter()
        hash_password(_PASSWORD)
        created += between - started
        hashed += time.perf_counter() - between
    return {"each": (created - hashed) * 1000 / number, "hash": hashed * 1000 / number}


def in_bulk(domain: str, number: int) -> dict[str, Any]:
    """Create mailboxes all at once, with a hash made before, and return what each took in ms."""
    row = Domain.objects.get(name=domain)
    hashed = hash_password(_PASSWORD)
    wanted = [NewMailbox(name, password_hash=hashed) for name in _names(number)]
    started = time.perf_counter()
    create_mailboxes(domain=row, mailboxes=wanted)
    return {"each": (time.perf_counter() - started) * 1000 / number}


def bare(domain: str, number: int) -> dict[str, Any]:
    """Make the same folders and files without anything else, and return what each took in ms.

    What a home consists of is read from one that the service made. They are removed again.
    """
    home = settings.DATA_DIR.mail / Mailbox.objects.filter(domain__name=domain).earliest("pk").home
    folders = [path.relative_to(home) for path in sorted(home.rglob("*")) if path.is_dir()]
    files = [
        (path.relative_to(home), path.read_bytes())
        for path in sorted(home.rglob("*"))
        if path.is_file() and _is_provisioned(path)
    ]
    root = settings.DATA_DIR.mail / f"bare-{secrets.token_hex(4)}.test"
    root.mkdir()
    started = time.perf_counter()
    for index in range(number):
        _make_bare(root / str(index), folders, files)
    seconds = time.perf_counter() - started
    shutil.rmtree(root)
    return {"each": seconds * 1000 / number, "folders": len(folders) + 1, "files": len(files)}


def queries(domain: str, bulk: int) -> dict[str, Any]:
    """Return how many queries one creation needs, and `bulk` at once; transaction statements are counted too."""
    row = Domain.objects.get(name=domain)
    one = _count_queries(
        lambda: services.create_mailbox(domain=row, local_part=_names(1)[0], password=_PASSWORD)
    )
    return {"one": one, "bulk": _count_queries(lambda: in_bulk(domain, bulk))}


def fill_lists(sizes: Sequence[int]) -> dict[str, Any]:
    """Make a customer for each size with that many rows of mailboxes on ten domains, and an administrator.

    Returns:
        the e-mails: of the administrator, and of each customer's owner.
    """
    admin = create_admin(email="admin@lists.test", password=_PASSWORD)
    owners = []
    for size in sizes:
        email = f"owner@l{size}.test"
        customer = create_customer(name=_list_name(size), owner_email=email, owner_password=_PASSWORD)
        domains = [
            services.create_domain(name=f"d{index}.l{size}.test", customer=customer) for index in range(10)
        ]
        now = timezone.now()
        Mailbox.objects.bulk_create(
            (
                Mailbox(
                    domain=domains[index % 10],
                    local_part=f"m{index * 7919 % size:06}",
                    address=f"m{index * 7919 % size:06}@{domains[index % 10].name}",
                    display_name=f"Person {index}",
                    password="x" * 110,
                    quota_bytes=2 * 1024**3,
                    home=f"none/{size}-{index}",
                    provisioned_at=now,
                    used_bytes=index * 104729 % (2 * 1024**3),
                    used_at=now,
                )
                for index in range(size)
            ),
            batch_size=500,
        )
        owners.append(email)
    return {"admin": admin.email, "owners": owners}


def empty_lists(sizes: Sequence[int]) -> dict[str, Any]:
    """Take the rows of `fill_lists` away, before anything could look for their homes."""
    names = [_list_name(size) for size in sizes]
    mailboxes = Mailbox.objects.filter(domain__customer__name__in=names)
    mailboxes._raw_delete(mailboxes.db)
    Domain.objects.filter(customer__name__in=names).delete()
    User.objects.filter(email__in=["admin@lists.test", *(f"owner@l{size}.test" for size in sizes)]).delete()
    Customer.objects.filter(name__in=names).delete()
    return {}


def add_admin() -> dict[str, Any]:
    """Make an administrator, and return their e-mail and the number of some mailbox."""
    admin = create_admin(email=_ADMIN, password=_PASSWORD)
    return {"email": admin.email, "mailbox": Mailbox.objects.order_by("pk").values_list("pk", flat=True)[0]}


def remove_admin() -> dict[str, Any]:
    """Take them away again."""
    User.objects.filter(email=_ADMIN).delete()
    return {}


def weigh(path: str, email: str, bare: bool) -> dict[str, Any]:
    """Load a page and all that it names, as a browser that has nothing yet; return bytes as sent, and requests.

    Args:
        path: which.
        email: who is signed in, or empty.
        bare: whether it is the bare page, with nothing but compression before it.
    """
    if bare:
        compress = ["django.middleware.gzip.GZipMiddleware"]
        with override_settings(ROOT_URLCONF="bench.bare", MIDDLEWARE=compress):
            return _weigh(_client(""), path)
    return _weigh(_client(email), path)


def _weigh(client: Client, path: str) -> dict[str, Any]:
    page = _body(client, path)
    text = gzip.decompress(page).decode()
    loaded = set(re.findall(r'<(?:link|script|img)[^>]* (?:href|src)="(/static/[^"]+)"', text))
    return {
        "bytes": len(page) + sum(len(_body(client, address)) for address in loaded),
        "requests": 1 + len(loaded),
    }


def _body(client: Client, path: str) -> bytes:
    response = client.get(path, headers={"accept-encoding": "gzip"})
    if response.status_code != 200:
        raise RuntimeError(f"{path} gave {response.status_code}.")
    return response.getvalue() if response.streaming else response.content


def _client(email: str) -> Client:
    client = Client(headers={"host": "localhost"})
    if email:
        client.force_login(User.objects.get(email=email))
    return client


def pages(path: str, email: str, seconds: float, bare: bool = False) -> dict[str, Any]:
    """Fetch a page as often as it goes, through Django's handler, and return pages/s and queries of one.

    Args:
        path: which, with its query.
        email: who is signed in, or empty.
        seconds: how long.
        bare: whether it is the bare page: no middleware, one query, one template (`bench.bare`).
    """
    if bare:
        with override_settings(ROOT_URLCONF="bench.bare", MIDDLEWARE=[]):
            return _fetch(_client(""), path, seconds)
    # What Redis keeps while everything runs; here it does not run.
    with override_settings(CACHES={"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}):
        return _fetch(_client(email), path, seconds)


def _fetch(client: Client, path: str, seconds: float) -> dict[str, Any]:
    def fetch() -> None:
        status = client.get(path).status_code
        if status != 200:
            raise RuntimeError(f"{path} gave {status}.")

    fetch()  # templates are read, the session is noted
    queries = _count_queries(fetch)
    started = time.perf_counter()
    number = 0
    while (passed := time.perf_counter() - started) < seconds:
        fetch()
        number += 1
    return {"rate": number / passed, "queries": queries}


def _list_name(size: int) -> str:
    return f"List of {size}"


def _count_queries(action: Callable[[], object]) -> int:
    seen: list[str] = []

    def count(execute: Any, sql: str, parameters: Any, many: bool, context: Any) -> Any:
        seen.append(sql)
        return execute(sql, parameters, many, context)

    with connection.execute_wrapper(count):
        action()
    return len(seen)


def _make_bare(home: Path, folders: Sequence[Path], files: Sequence[tuple[Path, bytes]]) -> None:
    owner = os.geteuid(), os.getegid()
    home.mkdir(mode=0o700)
    os.chown(home, *owner)
    for folder in folders:
        place = home / folder
        place.mkdir(mode=0o700)
        os.chown(place, *owner)
    for file, content in files:
        place = home / file
        place.write_bytes(content)
        os.chown(place, *owner)


def _is_provisioned(path: Path) -> bool:
    """Whether the panel made a file, and not Dovecot at a login."""
    return not path.name.startswith("dovecot") or path.name == "dovecot-keywords"


def _names(number: int) -> list[str]:
    run = secrets.token_hex(4)
    return [f"n{run}-{index}" for index in range(number)]


if __name__ == "__main__":
    main()
