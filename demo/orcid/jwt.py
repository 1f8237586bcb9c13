"""Signed tokens (RS256) in plain integer arithmetic.

This way the demonstration needs no cryptography library. The key is public knowledge: it is derived from the two labels
below.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

LABEL: Final = "orcid-connect simulator, no secret"
PRIMES: Final = ((f"{LABEL}, p", 516), (f"{LABEL}, q", 1228))
EXPONENT: Final = 65537
BYTES: Final = 256
SHA256_PREFIX: Final = bytes.fromhex("3031300d060960864801650304020105000420")  # RFC 8017, 9.2, note 1
KEY_ID: Final = "simulator-made-up-0123456789abcdefghijklmnopqrstuv"
STALE_KEY_ID: Final = "simulator-made-up-9876543210zyxwvutsrqponmlkjihgfe"


@dataclass(frozen=True, slots=True)
class Key:
    """An RSA key: modulus and private exponent."""

    modulus: int
    private: int


def derive_number(label: str, bits: int) -> int:
    """Derive an odd number of this many bits from a label."""
    parts = (hashlib.sha256(f"{label} {at}".encode()).digest() for at in range(bits // 256))
    return int.from_bytes(b"".join(parts), "big") | 3 << (bits - 2) | 1


@functools.cache
def key() -> Key:
    """Return the simulator's key.

    `PRIMES` holds each label's distance to the next prime, computed once.
    """
    p, q = (derive_number(label, BYTES * 4) + distance for label, distance in PRIMES)
    return Key(p * q, pow(EXPONENT, -1, (p - 1) * (q - 1)))


def sign(claims: Mapping[str, Any]) -> str:
    """Sign claims as a JWT (RFC 7515; RSASSA-PKCS1-v1_5 with SHA-256)."""
    return sign_text(json.dumps(claims, ensure_ascii=False))


def sign_text(payload: str) -> str:
    """Sign a payload, which need not be valid claims."""
    head = _base64url(json.dumps({"kid": KEY_ID, "alg": "RS256"}).encode())
    text = f"{head}.{_base64url(payload.encode())}"
    digest = SHA256_PREFIX + hashlib.sha256(text.encode()).digest()
    padded = b"\x00\x01" + b"\xff" * (BYTES - len(digest) - 3) + b"\x00" + digest
    number = pow(int.from_bytes(padded, "big"), key().private, key().modulus)
    return f"{text}.{_base64url(number.to_bytes(BYTES, 'big'))}"


def at_hash(token: str) -> str:
    """Return the `at_hash` of an access token (OpenID Connect Core, 3.1.3.6)."""
    return _base64url(hashlib.sha256(token.encode()).digest()[:16])


def public_keys(*, stale: bool = False) -> dict[str, Any]:
    """Return the JWKS, without `alg` as ORCID serves it.

    Args:
        stale: Return a key that signed no token.
    """
    modulus = derive_number(f"{LABEL}, stale", BYTES * 8) if stale else key().modulus
    kid = STALE_KEY_ID if stale else KEY_ID
    coded = _base64url(modulus.to_bytes(BYTES, "big"))
    return {"keys": [{"kty": "RSA", "e": "AQAB", "use": "sig", "kid": kid, "n": coded}]}


def _base64url(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()
