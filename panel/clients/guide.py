"""What somebody has said of the mail program that they set up, and what is recommended for it. Asks nobody anything.

Everything that was said stands in the address of the page, so that it works without a script and can be passed on.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from django.utils.translation import gettext as _

from panel.addresses.device_passwords import LABEL_MAX
from panel.addresses.mail_servers import PROTOCOLS
from panel.clients.content_files import DEVICES

#: Devices with a camera: what is on another screen they take from there.
PHONES = ("iphone", "android")
#: Where somebody may read their mail: on one device, on several, or in webmail too.
USES = ("one", "several", "web")
#: What names a device in what browsers call themselves (RFC 9110, section 10.1.5), the first that fits. Telephones
#: come first: Android's says Linux too, and an iPhone's Mac OS X.
_SIGNS = (
    ("iPhone", "iphone"),
    ("iPad", "iphone"),
    ("iPod", "iphone"),
    ("Android", "android"),
    ("Windows", "windows"),
    ("Macintosh", "mac"),
    ("Mac OS X", "mac"),
    ("Linux", "linux"),
    ("X11", "linux"),
)
#: What Sec-CH-UA-Platform says (W3C, User-Agent Client Hints).
_PLATFORMS = {"windows": "windows", "macos": "mac", "ios": "iphone", "android": "android", "linux": "linux"}


@dataclass(frozen=True)
class Choices:
    """What was said, by codes; empty where nothing was.

    Attributes:
        here: of DEVICES, on which the page is read, as far as it is known.
        device: of DEVICES, which is set up: that which was chosen, else `here`.
        is_chosen: whether the device was chosen.
        use: of USES.
        protocol: "imap" or "pop3", where somebody insists on one.
        program: the mail program's.
    """

    here: str
    device: str
    is_chosen: bool
    use: str
    protocol: str
    program: str

    @property
    def shows_codes(self) -> bool:
        """Whether a telephone is set up that can take a code from this screen, as it is another's."""
        return self.device in PHONES and self.here != self.device

    @property
    def may_be_ipad(self) -> bool:
        """Whether the page takes for a Mac what may be an iPad: its browser says the same."""
        return self.here == "mac" and not self.is_chosen

    @property
    def is_complete(self) -> bool:
        """Whether both questions are answered."""
        return bool(self.device and self.use)


@dataclass(frozen=True)
class Plan:
    """What is recommended, and what the steps are for.

    Attributes:
        recommended: the protocol; empty where none is on.
        protocol: of the steps: the one that was insisted on, else the recommended one.
        is_off: whether that is switched off, so that no step helps.
    """

    recommended: str
    protocol: str
    is_off: bool

    @property
    def protocol_name(self) -> str:
        """As people call it."""
        return {"imap": "IMAP", "pop3": "POP"}.get(self.protocol, "")


def read_choices(query: Mapping[str, str], *, user_agent: str = "", platform: str = "") -> Choices:
    """Return what was said in the address of a page; what is nothing that can be chosen counts as not said.

    Args:
        query: its parameters.
        user_agent: what the browser calls itself.
        platform: its Sec-CH-UA-Platform.
    """
    here, chosen = device_of(user_agent, platform), _one_of(DEVICES, query.get("device", ""))
    return Choices(
        here=here,
        device=chosen or here,
        is_chosen=bool(chosen),
        use=_one_of(USES, query.get("use", "")),
        protocol=_one_of(PROTOCOLS, query.get("protocol", "")),
        program=query.get("program", ""),
    )


def device_of(user_agent: str, platform: str = "") -> str:
    """Return on which of DEVICES a browser runs, or nothing where it does not say. An iPad may say that it is a Mac."""
    said = _PLATFORMS.get(platform.strip().strip('"').lower(), "")
    return said or next((device for sign, device in _SIGNS if sign in user_agent), "")


def plan_for(choices: Choices, protocols: Collection[str]) -> Plan:
    """Return what is recommended to somebody.

    IMAP is, wherever it is on: it loses nothing on one device either, and a second one may follow.

    Args:
        choices: what they said.
        protocols: that are on.
    """
    recommended = next((protocol for protocol in PROTOCOLS if protocol in protocols), "")
    protocol = choices.protocol or recommended
    return Plan(recommended, protocol, is_off=bool(protocol) and protocol not in protocols)


def device_names() -> list[tuple[str, str]]:
    """Return the devices as people call them."""
    names = {
        "windows": "Windows",
        "mac": "Mac",
        "iphone": _("iPhone or iPad"),
        "android": "Android",
        "linux": "Linux",
    }
    return [(device, names[device]) for device in DEVICES]


def use_names() -> list[tuple[str, str]]:
    """Return where mail may be read, as people answer it."""
    names = {
        "one": _("On this device only"),
        "several": _("On several devices"),
        "web": _("In webmail too"),
    }
    return [(use, names[use]) for use in USES]


def device_label(device: str, taken: Collection[str]) -> str:
    """Return a name for a device password that no other of the mailbox has: "iPhone", then "iPhone 2".

    Args:
        device: of DEVICES, or nothing.
        taken: names that are in use; letter case makes no difference.
    """
    used = {label.casefold() for label in taken}
    name = {
        "windows": _("Windows PC"),
        "mac": _("Mac"),
        "iphone": _("iPhone"),
        "android": _("Android phone"),
        "linux": _("Linux PC"),
    }.get(device, _("Mail program"))
    numbered = (name if number == 1 else f"{name} {number}" for number in range(1, len(used) + 2))
    return next(label for label in numbered if label.casefold() not in used)[:LABEL_MAX]


def _one_of(codes: Collection[str], text: str) -> str:
    return text if text in codes else ""
