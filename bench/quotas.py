"""The check of quotas, against walking the folders and against Dovecot's own command."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bench.dovecots_command import doveadm
from bench.frame import Aim, Better, Row, Side
from bench.processes import BenchProblem
from bench.setup import Setup

#: One mailbox in so many changes between two checks.
ONE_IN = 1000
#: Mailboxes that have messages, to be walked and to ask Dovecot's own command about: with all, making them would take
#: longer than measuring.
ASKED = 1000


@contextlib.contextmanager
def rows(setup: Setup) -> Iterator[list[Row]]:
    """Yield the rows: a check where few mailboxes changed, against looking at each of them in two ways."""
    worker, size = setup.product.worker, setup.scale.checked
    changing, asked = size // ONE_IN, min(ASKED, size // 10)
    with setup.product.running():
        made = worker.ask("fill_quotas", size=size, changing=asked)
        named = setup.product.stand.folder / "asked"
        named.write_text("".join(f"{address}\n" for address in made["addresses"]))
        changed = made["keys"][:: asked // changing]
        seen: dict[str, Any] = {}
        try:
            check = Side(
                f"`check_quotas`: a stat of one file of each, Dovecot asked about the {changing} that changed, some "
                "compared with their files",
                lambda: _checked(setup, made["keys"], changed, seen),
            )
            yield [
                Row(
                    name="quotas-walking",
                    work=f"What {size:,} mailboxes hold, where one in {ONE_IN:,} changed.",
                    unit="mailboxes/s",
                    better=Better.HIGHER,
                    ours=check,
                    reference=Side(
                        f"walking the folders of {asked:,} of them: scandir, adding up the sizes that the names of "
                        "100 messages each tell, and nothing else",
                        lambda: _rate(worker.ask("walk_quotas", keys=made["keys"])),
                    ),
                    aim=Aim(5, of_ratio=True),
                    remark=lambda: (
                        f"{seen['queries']} queries; the process took {seen['memory']:.0f} MB more at its peak."
                    ),
                ),
                Row(
                    name="quotas-doveadm",
                    work="The same.",
                    unit="mailboxes/s",
                    better=Better.HIGHER,
                    ours=check,
                    reference=Side(
                        f"`doveadm quota get -F` with {asked:,} of the mailboxes, which is `-A` for some",
                        lambda: _asked(setup, named, asked),
                    ),
                    aim=Aim(10, of_ratio=True),
                ),
            ]
        finally:
            worker.ask("empty_quotas")


def _checked(setup: Setup, keys: Sequence[int], changed: Sequence[int], seen: dict[str, Any]) -> float:
    answer = setup.product.worker.ask("check_quotas", keys=keys, changed=changed)
    if answer["failures"]:
        raise BenchProblem(f"The check found something wrong: {answer['failures'][0]}")
    seen.update(answer)
    return _rate(answer)


def _rate(answer: dict[str, Any]) -> float:
    return float(answer["mailboxes"] / answer["seconds"])


def _asked(setup: Setup, named: Path, number: int) -> float:
    seconds, printed = doveadm(setup.product, "-f", "tab", "quota", "get", "-F", str(named))
    if printed.count(b"STORAGE") != number:
        raise BenchProblem(f"doveadm does not say what the mailboxes hold: {printed[:500]!r}")
    return number / seconds
