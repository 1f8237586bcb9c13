"""Key pairs of the Service Provider, in the form of `shib-keygen`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

_BITS = 3072
_YEARS = 10


def make_key_pair(hostname: str, entity_id: str) -> tuple[str, str]:
    """Make an RSA key and a self-signed certificate, valid for ten years.

    Returns:
        Key and certificate in PEM.
    """
    key = rsa.generate_private_key(public_exponent=65537, key_size=_BITS)
    # A common name has at most 64 characters (RFC 5280, appendix A.1)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hostname[:64])])
    begin = datetime.now(UTC) - timedelta(days=1)
    alternatives = [x509.DNSName(hostname), x509.UniformResourceIdentifier(entity_id)]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + timedelta(days=365 * _YEARS))
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private.decode(), certificate.public_bytes(serialization.Encoding.PEM).decode()
