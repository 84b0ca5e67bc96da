"""Mail programs, and the steps by which each is set up: read from files, so that a host adds or corrects one.

One file for each program and language, in content/ or in DATA_DIR/clients/ (which wins). docs/mail-programs.md says
what stands in them.
"""

from __future__ import annotations

from dataclasses import dataclass

#: The devices that somebody may say they have.
DEVICES = ("windows", "mac", "iphone", "android", "linux")


@dataclass(frozen=True)
class ConfigurationFile:
    """A file that a program reads, ready but for the password, which stands in none.

    Attributes:
        name: where it goes, such as ~/.mbsyncrc.
        text: with nothing left to fill in.
    """

    name: str
    text: str


@dataclass(frozen=True)
class Guide:
    """How a program is set up with one protocol.

    Attributes:
        steps: in their order; plain text, in which *labels* stand between asterisks.
        files: ready configuration files.
        leave_copy: the steps to where the program says whether POP leaves messages on the server.
        leave_copy_default: what the program does when nobody says; empty where it is not known.
    """

    steps: tuple[str, ...]
    files: tuple[ConfigurationFile, ...] = ()
    leave_copy: tuple[str, ...] = ()
    leave_copy_default: str = ""


@dataclass(frozen=True)
class Program:
    """A mail program.

    Attributes:
        slug: its code in addresses of pages, and its file's name.
        name: as people know it.
        devices: of DEVICES, those it runs on.
        ways: what it can do by itself: some of "autoconfig", "autodiscover", "profile" (Apple's), "qr" (a code of its
            own); empty where everything is entered by hand.
        remark: what is to be known before; may be empty.
        finds_ip_of: whose IP address the connection log shows, where it is not the device's; empty otherwise.
    """

    slug: str
    name: str
    devices: tuple[str, ...]
    ways: tuple[str, ...]
    remark: str
    finds_ip_of: str
