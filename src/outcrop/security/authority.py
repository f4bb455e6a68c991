"""A local certificate authority, for TLS on machines that no public authority vouches for.

Made once per data directory; its private key never leaves the machine, files are 0600.
"""

import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY_LIFE = timedelta(days=3650)
CERTIFICATE_LIFE = timedelta(days=397)
"""What clients accept at most of a server's certificate (the CA/Browser Forum's limit)."""

_BACKDATED = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """All PEM. ``authority`` is what clients are told to trust."""

    authority: Path
    certificate: Path
    key: Path


def tls_files(data_dir: Path) -> TlsFiles:
    folder = data_dir / "tls"
    return TlsFiles(folder / "authority.pem", folder / "server.pem", folder / "server.key")


def issue(files: TlsFiles, names: Sequence[str], now: datetime | None = None) -> None:
    """A server certificate for these host names and addresses, by the authority of the folder,
    which is made if there is none. Raises OSError."""
    now = now or datetime.now(UTC)
    authority_key = files.authority.with_suffix(".key")
    files.authority.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if files.authority.exists() and authority_key.exists():
        secret = _read_key(authority_key)
        authority = x509.load_pem_x509_certificate(files.authority.read_bytes())
    else:
        secret = ec.generate_private_key(ec.SECP256R1())
        authority = _authority(secret, now)
        _write(authority_key, _private(secret))
        _write(files.authority, authority.public_bytes(serialization.Encoding.PEM))
    server = ec.generate_private_key(ec.SECP256R1())
    certificate = _certificate(authority, secret, server, names, now)
    _write(files.key, _private(server))
    _write(files.certificate, certificate.public_bytes(serialization.Encoding.PEM))


def _authority(secret: ec.EllipticCurvePrivateKey, now: datetime) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Outcrop local authority")])
    usage = x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        crl_sign=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    return (
        _builder(name, name, secret.public_key(), now, AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .sign(secret, hashes.SHA256())
    )


def _certificate(
    authority: x509.Certificate,
    secret: ec.EllipticCurvePrivateKey,
    server: ec.EllipticCurvePrivateKey,
    names: Sequence[str],
    now: datetime,
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Outcrop")])
    issuer_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(secret.public_key())
    return (
        _builder(subject, authority.subject, server.public_key(), now, CERTIFICATE_LIFE)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(list(map(_name, names))), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(issuer_id, critical=False)
        .sign(secret, hashes.SHA256())
    )


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    now: datetime,
    life: timedelta,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + life)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _read_key(file: Path) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(file.read_bytes(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError(f"{file} is not a key of an authority made here.")
    return key


def _write(file: Path, content: bytes) -> None:
    """Whole or not at all, and readable by its owner only from the first byte."""
    aside = file.with_name(f".{file.name}.{os.getpid()}")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())
    aside.replace(file)
