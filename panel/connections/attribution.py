"""Whose an address is: its mailbox, domain and customer, asked for many at once."""

from __future__ import annotations

from collections.abc import Collection

from panel.addresses.models import DevicePassword, Domain, Mailbox

#: Ids of mailbox, domain and customer.
Whose = tuple[int | None, int | None, int | None]
_NOBODY: Whose = (None, None, None)
#: Addresses asked for in one query: SQLite takes 999 values in old builds.
_CHUNK = 500


class Attribution:
    """What is known of some addresses. Made for one batch: an address can be another mailbox's the next time."""

    def __init__(self) -> None:
        self._mailboxes: dict[str, Whose] = {}
        self._domains: dict[str, Whose] = {}
        self._mailbox_of_device: dict[int, int] = {}

    def look_up(self, addresses: Collection[str]) -> None:
        """Ask whose these are. A living mailbox counts before a deleted one, and the younger before the older."""
        asked = sorted(addresses)
        for start in range(0, len(asked), _CHUNK):
            rows = (
                Mailbox.objects.filter(address__in=asked[start : start + _CHUNK])
                .order_by("deleted_at", "pk")
                .values_list(
                    "address", "pk", "domain_id", "domain__customer_id", "deleted_at", "domain__deleted_at"
                )
            )
            found: dict[str, tuple[bool, int, Whose]] = {}
            for address, pk, domain_id, customer_id, deleted, domain_deleted in rows:
                candidate = (deleted is None and domain_deleted is None, pk, (pk, domain_id, customer_id))
                if address not in found or candidate[:2] > found[address][:2]:
                    found[address] = candidate
            self._mailboxes |= {address: whose for address, (_living, _pk, whose) in found.items()}
        names = sorted(
            {address.rpartition("@")[2] for address in asked if address not in self._mailboxes} - {""}
        )
        for start in range(0, len(names), _CHUNK):
            domains = Domain.objects.filter(name__in=names[start : start + _CHUNK], deleted_at=None)
            self._domains |= {
                name: (None, pk, customer_id)
                for name, pk, customer_id in domains.values_list("name", "pk", "customer_id")
            }

    def of(self, address: str) -> Whose:
        """Return whose an address is that was looked up: of an unknown one on a domain of ours, the domain."""
        found = self._mailboxes.get(address)
        if found is not None:
            return found
        _local_part, at, domain = address.rpartition("@")
        return self._domains.get(domain, _NOBODY) if at else _NOBODY

    def look_up_devices(self, ids: Collection[int]) -> None:
        """Ask of which mailboxes these device passwords are."""
        asked = sorted(ids)
        for start in range(0, len(asked), _CHUNK):
            rows = DevicePassword.objects.filter(pk__in=asked[start : start + _CHUNK]).order_by()
            self._mailbox_of_device |= dict(rows.values_list("pk", "mailbox_id"))

    def device_of(self, mailbox_id: int | None, device: int | None) -> int | None:
        """Return a device password that was looked up, if it is of this mailbox: a number in the log alone is none."""
        if device is None or mailbox_id is None or self._mailbox_of_device.get(device) != mailbox_id:
            return None
        return device
