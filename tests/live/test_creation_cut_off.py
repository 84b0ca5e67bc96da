"""Mailboxes created by the hundred, and the process that creates them killed: rows, homes and logins agree again."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest

from tests.create_many import PASSWORD
from tests.stand import Box, Stand

pytestmark = pytest.mark.live

#: How many are asked for; where the process is killed is another place each time.
MANY, FEW = 1000, 40
#: Logins that are tried of those that were created.
SAMPLE = 5


def create_and_kill(stand: Stand, domain: str, count: int) -> list[str]:
    """Create mailboxes, kill the process somewhere halfway, and return the addresses that it had finished."""
    chance = random.SystemRandom()
    halfway = chance.randint(count // 3, 2 * count // 3)
    done = []
    with stand.spawn("-m", "tests.create_many", domain, str(count)) as process:
        assert process.stdout is not None
        for line in process.stdout:
            done.append(line.decode("ascii").strip())
            if len(done) == halfway:
                # Anywhere within the next creation, which takes some ten milliseconds.
                time.sleep(chance.random() * 0.03)
                process.kill()
    assert process.returncode == -9, "it was not killed halfway"
    return done


def repair(stand: Stand) -> None:
    """Have everything mended that can be, and check that nothing else was found."""
    failures = stand.must("checkmail", "--repair")["failures"]
    assert [failure for failure in failures if not failure["mended"]] == []


def end_unfinished_builds(stand: Stand, domain: str) -> None:
    """Let an hour pass for builds that were cut off: younger ones may be another process's work."""
    unfinished = list((stand.data_dir.mail / domain).glob(".*"))
    assert len(unfinished) <= 1, unfinished
    for build in unfinished:
        hours_ago = time.time() - 2 * 3600
        os.utime(build, (hours_ago, hours_ago))
    repair(stand)


def assert_whole(stand: Stand, domain: str, done: list[str]) -> None:
    """Check that each row has its home and each home its row, and that their owners can log in."""
    assert stand.must("checkmail")["failures"] == []
    homes = list((stand.data_dir.mail / domain).iterdir())
    addresses = {f"{home.name.rpartition('-')[0]}@{domain}" for home in homes}
    assert len(addresses) == len(homes)
    assert addresses >= set(done)
    cut_off = addresses - set(done)
    assert len(cut_off) <= 1, "more was created than was asked for"
    for address in [*random.sample(done, min(SAMPLE, len(done))), *cut_off]:
        shown = stand.must("showmailbox", address)
        assert shown["state"] == "active"
        box = Box(stand, address, PASSWORD, Path(shown["home"]))
        assert box.home in homes
        assert box.subjects() == ["Welcome to your mailbox"]


@pytest.mark.parametrize("count", [FEW, pytest.param(MANY, marks=pytest.mark.long)])
def test_process_that_creates_mailboxes_is_killed(stand: Stand, count: int) -> None:
    domain = stand.new_domain()
    done = create_and_kill(stand, domain, count)
    repair(stand)
    end_unfinished_builds(stand, domain)
    assert_whole(stand, domain, done)
