"""What Thunderbird and others read who look for the settings of an address: Mozilla's autoconfig, version 1.1.

Read by Thunderbird, Thunderbird for Android, K-9, Evolution, KMail (draft-ietf-mailmaint-autoconfig).
"""

from __future__ import annotations

from xml.etree import ElementTree

from django.conf import settings
from django.utils import translation
from django.utils.translation import gettext as _

from panel.addresses.inherited import PopPolicy
from panel.addresses.mail_servers import TLS, MailServer, servers_of
from panel.addresses.models import Mailbox
from panel.clients.asked import Asked
from panel.clients.told import help_url, outgoing_told

#: Letters of the two names of a provider, at most.
NAME_MAX, SHORT_NAME_MAX = 60, 20
#: What programs replace by the address in full, where they have not told it.
ADDRESS_PLACEHOLDER = "%EMAILADDRESS%"
#: Days. No word says "for ever": whoever reads no number takes 14, and 0 might be read as "at once".
FOR_EVER = 36_500


def autoconfig(asked: Asked) -> bytes:
    """Return the settings as XML; for a domain without an address with what the program replaces by it.

    Args:
        asked: of which at least one protocol is on.
    """
    root = ElementTree.Element("clientConfig", {"version": "1.1"})
    provider = ElementTree.SubElement(root, "emailProvider", {"id": asked.domain_name})
    _add(provider, "domain", asked.domain_name)
    brand = settings.ENVIRONMENT.brand
    _add(provider, "displayName", brand.name[:NAME_MAX])
    _add(provider, "displayShortName", brand.name[:SHORT_NAME_MAX].rstrip())
    user_name = asked.address or ADDRESS_PLACEHOLDER
    # The first of a protocol is what programs take, and the first of all what they recommend.
    for server in servers_of(asked.protocols):
        element = _add_server(provider, "incomingServer", server, user_name)
        if server.protocol == "pop3":
            _add_retention(element, asked.pop)
    _add_server(provider, "outgoingServer", outgoing_told(), user_name)
    _add_documentation(provider, help_url(asked.address))
    if brand.support_url.startswith(("https://", "http://")):
        _add_documentation(provider, brand.support_url)
    ElementTree.indent(root)
    return bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"


def _add_server(
    provider: ElementTree.Element, name: str, server: MailServer, user_name: str
) -> ElementTree.Element:
    element = ElementTree.SubElement(provider, name, {"type": server.protocol})
    _add(element, "hostname", server.host)
    _add(element, "port", str(server.port))
    _add(element, "socketType", "SSL" if server.security == TLS else "STARTTLS")
    _add(element, "authentication", "password-cleartext")
    _add(element, "username", user_name)
    return element


def _add_retention(element: ElementTree.Element, pop: PopPolicy) -> None:
    """Say for how long a program leaves on the server what it has fetched: as long as the domain keeps copies.

    Where the domain keeps no copy of what POP deletes, programs are told to leave nothing, as POP was meant.
    """
    retention = ElementTree.SubElement(element, "pop3")
    leaves = pop.deletes != Mailbox.PopDeletes.DELETE
    _add(retention, "leaveMessagesOnServer", "true" if leaves else "false")
    if pop.deletes == Mailbox.PopDeletes.KEEP_DAYS and pop.days:
        _add(retention, "daysToLeaveMessagesOnServer", str(pop.days))
    elif leaves:
        _add(retention, "daysToLeaveMessagesOnServer", str(FOR_EVER))


def _add_documentation(provider: ElementTree.Element, url: str) -> None:
    element = ElementTree.SubElement(provider, "documentation", {"url": url})
    for code, _name in settings.LANGUAGES:
        with translation.override(code):
            ElementTree.SubElement(element, "descr", {"lang": code}).text = _(
                "How to set up your mail program"
            )


def _add(parent: ElementTree.Element, name: str, text: str) -> None:
    ElementTree.SubElement(parent, name).text = text
