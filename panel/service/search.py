"""The search over everything: each finds what they may see, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.core.paginator import Page
from django.db.models import Prefetch, Q, QuerySet
from django.urls import reverse
from django.utils.formats import date_format
from django.utils.functional import Promise
from django.utils.timezone import localtime
from django.utils.translation import gettext_lazy as _

from panel.accounts.models import Customer, Membership, User
from panel.accounts.selectors import customers_read_by
from panel.addresses import selectors
from panel.addresses.customers import search_customers
from panel.addresses.models import Domain, Mailbox
from panel.connections.filters import read_filters
from panel.connections.planning import page_of_plan, plan_for
from panel.core import jobs
from panel.core.models import Job
from panel.core.pages import LongPaginator

#: How many of each group are shown together.
FIRST = 5
#: Characters of a question that count.
LONGEST = 254


@dataclass(frozen=True)
class Hit:
    """Something that was found: where it is, what it is called, what else is said, and its state if it has one."""

    url: str
    label: str
    under: str = ""
    state: str = ""
    state_label: str = ""


@dataclass(frozen=True)
class Group:
    """What was found of one kind.

    Attributes:
        kind: a key of KINDS.
        label: what people call all of it.
        hits: the first of it.
        total: how many there are, as far as they are counted.
        has_more: whether there are more than were counted.
        url: where all of it is.
    """

    kind: str
    label: str | Promise
    hits: list[Hit]
    total: int
    has_more: bool
    url: str

    @property
    def is_whole(self) -> bool:
        """Whether the hits are all there is."""
        return self.total <= len(self.hits)


@dataclass(frozen=True)
class _Kind:
    label: Promise
    rows: Callable[[User, str], QuerySet[Any]]
    hits: Callable[[User, Sequence[Any]], list[Hit]]
    list_url: str


def find(person: User, text: str) -> list[Group]:
    """Return what a person may see that `text` is part of, grouped; groups of nothing are left out.

    Args:
        person: who asks.
        text: as typed.
    """
    text = searchable(text)
    if not text:
        return []
    groups = [_group(person, kind, text) for kind in KINDS]
    return [group for group in [*groups, _connections(person, text)] if group.hits]


def rows_of(person: User, kind: str, text: str) -> QuerySet[Any]:
    """Return all of one kind that `find` finds the first of."""
    return KINDS[kind].rows(person, searchable(text))


def hits_of(person: User, kind: str, rows: Sequence[Any]) -> list[Hit]:
    """Return rows of one kind as they are shown."""
    return KINDS[kind].hits(person, rows)


def searchable(text: str) -> str:
    """Return what of a question can be looked for."""
    return text.replace("\x00", "").strip()[:LONGEST]


def _group(person: User, name: str, text: str) -> Group:
    kind = KINDS[name]
    # Ids are found first, in an index where there is one; counting ends somewhere.
    pages = LongPaginator(kind.rows(person, text), FIRST)
    page: Page[Any] = pages.page(1)
    if (person.sees_all and kind.list_url) or name in ("mailboxes", "domains"):
        url = reverse(kind.list_url, query={"q": text})
    else:
        url = reverse("search", query={"q": text, "only": name})
    return Group(name, kind.label, kind.hits(person, list(page)), pages.count, pages.has_more, url)


def _connections(person: User, text: str) -> Group:
    """Return the way to what one IP address or one whole address did, where it did anything that they may see."""
    hits = []
    filters = read_filters({"ip": text}, person)
    if filters.ip:
        hits.append(Hit(url=reverse("show_connection_ip", args=[filters.ip]), label=filters.ip))
    elif "@" in text:
        filters = read_filters({"address": text}, person)
        url = reverse("show_connection_address", query={"address": filters.address})
        hits.append(Hit(url=url, label=filters.address))
    if not hits or not page_of_plan(plan_for(person, filters), size=1).rows:
        hits = []
    return Group("connections", _("Connections"), hits, len(hits), has_more=False, url="")


def _mailboxes(person: User, text: str) -> QuerySet[Mailbox]:
    living = selectors.in_state(selectors.mailboxes_for(person), "")
    return selectors.search_mailboxes(living, text).order_by("address", "pk")


def _mailbox_hits(_person: User, rows: Sequence[Mailbox]) -> list[Hit]:
    return [
        Hit(
            url=reverse("show_mailbox", args=[row.pk]),
            label=row.display_address,
            under=row.display_name,
            **_state(row),
        )
        for row in rows
    ]


def _domains(person: User, text: str) -> QuerySet[Domain]:
    living = selectors.living_domains_for(person).select_related("customer")
    return selectors.search_domains(living, text).order_by("name", "pk")


def _domain_hits(_person: User, rows: Sequence[Domain]) -> list[Hit]:
    return [
        Hit(
            url=reverse("show_domain", args=[row.name]),
            label=row.unicode_name,
            under=row.customer.name,
            **_state(row),
        )
        for row in rows
    ]


def _customers(person: User, text: str) -> QuerySet[Customer]:
    return search_customers(customers_read_by(person), text).order_by("name", "pk")


def _customer_hits(_person: User, rows: Sequence[Customer]) -> list[Hit]:
    return [Hit(url=reverse("show_customer", args=[row.pk]), label=row.name, **_state(row)) for row in rows]


def _people(person: User, text: str) -> QuerySet[User]:
    """A host's administrator finds everybody, others the people of their own customers."""
    people = User.objects.filter(Q(email__icontains=text) | Q(name__icontains=text), kind=User.Kind.PERSON)
    seen = Membership.objects.select_related("customer").order_by("customer__name")
    if not person.sees_all:
        seen = seen.filter(customer__in=customers_read_by(person))
        people = people.filter(pk__in=seen.order_by().values("user"))
    return people.prefetch_related(Prefetch("memberships", seen, to_attr="seen_in")).order_by("email", "pk")


def _people_hits(_person: User, rows: Sequence[Any]) -> list[Hit]:
    return [_person_hit(row, row.seen_in) for row in rows]


def _person_hit(row: User, seen_in: Sequence[Membership]) -> Hit:
    """People have no page of their own: one goes to their customer's, or to what they did."""
    words = [row.name] if row.name else []
    if row.is_admin:
        words.append(str(_("Administrator")))
    words += [f"{each.customer.name} ({each.get_role_display()})" for each in seen_in[:3]]
    if seen_in:
        url = reverse("list_members", args=[seen_in[0].customer_id])
    else:
        url = f"{reverse('list_audit')}?{urlencode({'person': row.email or ''})}"
    return Hit(url=url, label=row.email or row.name, under=", ".join(words))


def _jobs(person: User, text: str) -> QuerySet[Job]:
    if not person.sees_all:
        return Job.objects.none()
    return jobs.shown().filter(kind__in=jobs.kinds_named(text)).order_by("-pk")


def _job_hits(_person: User, rows: Sequence[Job]) -> list[Hit]:
    return [
        Hit(
            url=reverse("show_job", args=[row.pk]),
            label=str(jobs.kind_label(row.kind)),
            under=date_format(localtime(row.created_at), "DATETIME_FORMAT"),
            state=row.state,
            state_label=str(row.get_state_display()),
        )
        for row in rows
    ]


def _state(row: Mailbox | Domain | Customer) -> dict[str, str]:
    """Return a state worth a word: that something is as it should be goes without one."""
    if row.state == "active":
        return {}
    return {"state": str(row.state), "state_label": row.state_label}


#: What can be found, in this order. Lists of mailboxes and domains are everybody's, that of customers the host's.
KINDS = {
    "mailboxes": _Kind(_("Mailboxes"), _mailboxes, _mailbox_hits, "list_mailboxes"),
    "domains": _Kind(_("Domains"), _domains, _domain_hits, "list_domains"),
    "customers": _Kind(_("Customers"), _customers, _customer_hits, "list_customers"),
    "people": _Kind(_("People"), _people, _people_hits, ""),
    "jobs": _Kind(_("Jobs"), _jobs, _job_hits, ""),
}
