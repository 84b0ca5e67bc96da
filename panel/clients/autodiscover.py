"""What Outlook and others read who look for the settings of an address: Microsoft's Autodiscover ([MS-OXDSCLI]).

Two protocols: POX, where a program posts a piece of XML and gets one, and JSON, which only tells where POX is. What is
posted comes from anybody: a document type, and with it every entity, is refused before anything of it is read.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urljoin
from xml.etree import ElementTree

from defusedxml.ElementTree import fromstring
from django.conf import settings
from django.urls import reverse
from django.utils import timezone

from panel.addresses.mail_servers import PROTOCOLS, TLS, MailServer
from panel.clients.asked import Asked, read_address
from panel.clients.told import best_server, help_url, outgoing_told

#: Octets of a request. What programs send has some hundreds.
REQUEST_MAX = 16 * 1024
_REQUEST = "http://schemas.microsoft.com/exchange/autodiscover/outlook/requestschema/2006"
_ANSWER = "http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006"
_SETTINGS = "http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a"
#: The one protocol of the JSON that is answered, in small letters: programs write it as they like.
_POX = "autodiscoverv1"


class Refusal(Exception):
    """A request that gets no settings.

    Attributes:
        code: of Microsoft's, 600 or 601.
        message: in the words that go with it.
        status: of the answer over HTTP. Programs look at the code alone, so that it is 200 for what is well-formed.
    """

    def __init__(self, code: int, message: str, status: int) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status


def bad_request(status: int) -> Refusal:
    """Return the refusal of what cannot be read."""
    return Refusal(600, "Invalid Request", status)


def no_provider() -> Refusal:
    """Return the refusal of a schema that is not spoken here, such as that of Exchange ActiveSync."""
    return Refusal(601, "Provider is not available", 200)


def read_request(body: bytes) -> Asked:
    """Return the address that a request asks about.

    Args:
        body: the XML, of any length.

    Raises:
        Refusal: if it is not a request, or asks for something else.
    """
    if len(body) > REQUEST_MAX:
        raise bad_request(413)
    try:
        root: ElementTree.Element = fromstring(body, forbid_dtd=True)
    except (ElementTree.ParseError, ValueError, LookupError) as err:
        raise bad_request(400) from err
    if root.tag != f"{{{_REQUEST}}}Autodiscover":
        raise no_provider() if root.tag.endswith("}Autodiscover") else bad_request(400)
    schemas = _texts(root, "AcceptableResponseSchema")
    if schemas and _SETTINGS not in schemas:
        raise no_provider()
    asked = read_address(next(iter(_texts(root, "EMailAddress")), ""))
    if asked is None:
        raise bad_request(200)
    if not asked.protocols:
        raise no_provider()
    return asked


def pox_settings(asked: Asked) -> bytes:
    """Return the settings of an address as XML: the best way in by each protocol that is on, then the way out."""
    response = ElementTree.Element("Response", {"xmlns": _SETTINGS})
    user = ElementTree.SubElement(response, "User")
    _add(user, "DisplayName", asked.address)
    account = ElementTree.SubElement(response, "Account")
    _add(account, "AccountType", "email")
    _add(account, "Action", "settings")
    environment = settings.ENVIRONMENT
    if environment.brand.logo:
        # urljoin: where static files lie may be an address of its own.
        _add(
            account,
            "Image",
            urljoin(f"{environment.panel_url}/", f"{settings.STATIC_URL}{environment.brand.logo.name}"),
        )
    _add(account, "ServiceHome", help_url(asked.address))
    for protocol in PROTOCOLS:
        server = best_server(protocol) if protocol in asked.protocols else None
        if server is not None:
            _add_protocol(account, server, asked.address)
    sending = _add_protocol(account, outgoing_told(), asked.address)
    _add(sending, "UsePOPAuth", "on")
    _add(sending, "SMTPLast", "off")
    return _document(response)


def pox_error(refusal: Refusal) -> bytes:
    """Return a refusal as XML."""
    response = ElementTree.Element("Response")
    now = timezone.now()
    error = ElementTree.SubElement(response, "Error", {"Time": f"{now:%H:%M:%S.%f}", "Id": "1"})
    _add(error, "ErrorCode", str(refusal.code))
    _add(error, "Message", refusal.message)
    ElementTree.SubElement(error, "DebugData")
    return _document(response)


def json_answer(protocol: str) -> tuple[int, dict[str, Any]]:
    """Return status and answer to who asks where the settings are, whatever the address.

    Args:
        protocol: that they speak.
    """
    if protocol.strip().lower() == _POX:
        url = f"{settings.ENVIRONMENT.panel_url}{reverse('autodiscover')}"
        return 200, {"Protocol": "AutodiscoverV1", "Url": url}
    code = "InvalidProtocol" if protocol else "MandatoryParameterMissing"
    return 400, {"ErrorCode": code, "ErrorMessage": "The only Protocol that is answered is 'Autodiscoverv1'."}


def _add_protocol(account: ElementTree.Element, server: MailServer, user_name: str) -> ElementTree.Element:
    element = ElementTree.SubElement(account, "Protocol")
    _add(element, "Type", server.protocol_name)
    _add(element, "Server", server.host)
    _add(element, "Port", str(server.port))
    _add(element, "DomainRequired", "off")
    _add(element, "LoginName", user_name)
    _add(element, "SPA", "off")
    _add(element, "SSL", "on")
    if server.security != TLS:
        # STARTTLS has no word of its own but this one, which counts before SSL where it is known.
        _add(element, "Encryption", "TLS")
    _add(element, "AuthRequired", "on")
    return element


def _texts(root: ElementTree.Element, name: str) -> list[str]:
    path = f"{{{_REQUEST}}}Request/{{{_REQUEST}}}{name}"
    return [(element.text or "").strip() for element in root.findall(path)]


def _document(response: ElementTree.Element) -> bytes:
    # Written out, not as ElementTree's namespaces: programs read the elements by their names without a prefix.
    root = ElementTree.Element("Autodiscover", {"xmlns": _ANSWER})
    root.append(response)
    ElementTree.indent(root)
    return bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"


def _add(parent: ElementTree.Element, name: str, text: str) -> None:
    ElementTree.SubElement(parent, name).text = text
