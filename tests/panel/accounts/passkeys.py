"""A passkey as a browser registered it, for tests that need one to be there and do not sign in with it."""

from __future__ import annotations

import secrets

from allauth.mfa.models import Authenticator
from allauth.mfa.webauthn.internal.auth import WebAuthn
from cryptography.hazmat.primitives.asymmetric import ec
from fido2.cose import ES256
from fido2.utils import sha256, websafe_encode
from fido2.webauthn import Aaguid, AttestationObject, AttestedCredentialData, AuthenticatorData

from panel.accounts.models import User


def add_passkey(user: User, name: str) -> Authenticator:
    """Give a person a passkey."""
    public = ec.generate_private_key(ec.SECP256R1()).public_key()
    key = ES256.from_cryptography_key(public)  # type: ignore[no-untyped-call]
    credential_id = secrets.token_bytes(16)
    credential = AttestedCredentialData.create(Aaguid.NONE, credential_id, key)
    flags = AuthenticatorData.FLAG.UP | AuthenticatorData.FLAG.UV | AuthenticatorData.FLAG.AT
    data = AuthenticatorData.create(sha256(b"localhost"), flags, 0, credential)
    client_data = b'{"type": "webauthn.create", "challenge": "AAAA", "origin": "http://localhost"}'
    registered = {
        "id": websafe_encode(credential_id),
        "rawId": websafe_encode(credential_id),
        "type": "public-key",
        "response": {
            "clientDataJSON": websafe_encode(client_data),
            "attestationObject": websafe_encode(bytes(AttestationObject.create("none", data, {}))),
        },
        "clientExtensionResults": {"credProps": {"rk": True}},
    }
    found: Authenticator = WebAuthn.add(user, name, registered).instance
    return found
