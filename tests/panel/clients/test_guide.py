"""What is recommended to somebody who sets a mail program up, by what they said."""

from __future__ import annotations

import pytest

from panel.addresses.device_passwords import LABEL_MAX
from panel.clients.guide import USES, Plan, device_label, device_of, plan_for, read_choices

BOTH = ("imap", "pop3")
WINDOWS = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0"


@pytest.mark.parametrize(
    ("user_agent", "device"),
    [
        (WINDOWS, "windows"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Version/18.0 Safari/605.1.15", "mac"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148", "iphone"),
        ("Mozilla/5.0 (iPad; CPU OS 12_5 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148", "iphone"),
        ("Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 Chrome/140.0 Mobile Safari/537.36", "android"),
        ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "linux"),
        ("Mozilla/5.0 (X11; OpenBSD amd64; rv:140.0) Gecko/20100101 Firefox/140.0", "linux"),
        ("curl/8.0", ""),
        ("", ""),
    ],
)  # fmt: skip
def test_a_device_is_recognised(user_agent: str, device: str) -> None:
    assert device_of(user_agent) == device


def test_what_the_browser_says_of_its_platform_comes_first() -> None:
    assert device_of(WINDOWS, '"macOS"') == "mac"
    assert device_of(WINDOWS, '"Plan 9"') == "windows"


def test_choices_of_an_address() -> None:
    said = read_choices({"device": "iphone", "use": "one", "protocol": "pop3"}, user_agent=WINDOWS)
    assert (said.here, said.device, said.is_chosen, said.use, said.protocol) == (
        "windows",
        "iphone",
        True,
        "one",
        "pop3",
    )
    assert said.is_complete


@pytest.mark.parametrize("nonsense", ["", "x", "ONE", "<script>", "windows\x00"])
def test_what_cannot_be_chosen_is_not_said(nonsense: str) -> None:
    said = read_choices({"device": nonsense, "use": nonsense, "protocol": nonsense})
    assert (said.device, said.use, said.protocol, said.is_complete) == ("", "", "", False)


@pytest.mark.parametrize("use", USES)
def test_imap_is_recommended_wherever_it_is_on(use: str) -> None:
    for protocols in (BOTH, ("imap",)):
        assert plan_for(read_choices({"use": use}), protocols) == Plan("imap", "imap", is_off=False)


def test_pop_is_recommended_where_it_alone_is_on() -> None:
    assert plan_for(read_choices({}), ("pop3",)) == Plan("pop3", "pop3", is_off=False)


def test_whoever_insists_gets_pop_and_is_told_where_it_is_off() -> None:
    insists = read_choices({"protocol": "pop3"})
    assert plan_for(insists, BOTH) == Plan("imap", "pop3", is_off=False)
    assert plan_for(insists, ("imap",)) == Plan("imap", "pop3", is_off=True)
    assert plan_for(insists, ()) == Plan("", "pop3", is_off=True)


def test_where_nothing_is_on_nothing_is_recommended() -> None:
    assert plan_for(read_choices({}), ()) == Plan("", "", is_off=False)


def test_a_label_is_one_that_no_other_has() -> None:
    assert device_label("iphone", ()) == "iPhone"
    assert device_label("iphone", {"IPHONE"}) == "iPhone 2"
    assert device_label("iphone", {"iPhone", "iphone 2", "Office PC"}) == "iPhone 3"
    assert device_label("iphone", {"iPhone 2"}) == "iPhone"
    assert device_label("", ()) == "Mail program"
    assert all(len(device_label(each, ())) <= LABEL_MAX for each in ("windows", "mac", "android", "linux"))
