"""What closes every door of a SeaweedFS process but ours: keys and certificates of one start.

All its servers ask for a client certificate of an authority that signs one certificate and is then
forgotten; its S3 port asks for signatures by a random key. All of it lies in a folder of mode 0700.
"""

import datetime
import ipaddress
import json
import os
import secrets
import tempfile
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from outcrop.objects.signing import Credentials

# The names of gRPC servers and clients in security.toml, used here or not: none stays open.
_GRPC = (
    "volume",
    "master",
    "filer",
    "s3",
    "msg_broker",
    "msg_agent",
    "admin",
    "worker",
    "mq",
    "client",
)
# Not the volume server: reading what is encrypted, SeaweedFS asks it in plain HTTP whatever is set
# here. It asks for tokens instead, which only those who hold the keys of this start can make.
_HTTPS = ("master", "filer", "admin")
_LIFETIME = datetime.timedelta(days=3650)
_DAY = datetime.timedelta(days=1)


def make_folder(filer_dir: Path, key_encryption_key: bytes) -> tuple[Path, Credentials]:
    """The folder with SeaweedFS's configuration, and the credentials of its S3 port.

    ``key_encryption_key`` encrypts the keys of objects at rest."""
    # Kept short: a Unix socket's path has 107 characters at most.
    folder = Path(tempfile.mkdtemp(prefix="outcrop-objects-"))
    credentials = Credentials(secrets.token_hex(16), secrets.token_hex(32))
    _write_certificates(folder)
    write_secret(folder / "security.toml", _security(folder, key_encryption_key.hex()).encode())
    write_secret(folder / "s3.json", _identities(credentials))
    write_secret(
        folder / "filer.toml", _table("leveldb2", enabled=True, dir=str(filer_dir)).encode()
    )
    # Its own upkeep is for clusters: erasure coding and balancing have no place on one node.
    maintenance = _table("master.maintenance", scripts="")
    # One volume a bucket at first, not seven.
    growth = _table("master.volume_growth", copy_1=1)
    write_secret(folder / "master.toml", (maintenance + growth).encode())
    return folder, credentials


def _identities(credentials: Credentials) -> bytes:
    identity = {
        "name": "outcrop",
        "credentials": [{"accessKey": credentials.key_id, "secretKey": credentials.secret}],
        "actions": ["Admin", "Read", "List", "Tagging", "Write"],
    }
    return json.dumps({"identities": [identity]}).encode()


def _security(folder: Path, key_encryption_key: str) -> str:
    certificate, key = str(folder / "cert.pem"), str(folder / "key.pem")
    authority = str(folder / "ca.pem")
    signing = ("jwt.signing", "jwt.signing.read", "jwt.filer_signing", "jwt.filer_signing.read")
    tables = [_table(name, key=secrets.token_hex(32)) for name in signing]
    tables += [
        _table("access", ui=False),
        _table("filer.expose_directory_metadata", enabled=False),
        _table("cors.allowed_origins", values="https://invalid.invalid"),
        _table("s3.sse", kek=key_encryption_key),
        _table("grpc", ca=authority),
    ]
    tables += [_table(f"grpc.{name}", cert=certificate, key=key) for name in _GRPC]
    tables += [_table(f"https.{name}", cert=certificate, key=key, ca=authority) for name in _HTTPS]
    return "".join(tables)


def _table(name: str, **values: str | int | bool) -> str:
    """JSON's strings, numbers and booleans are TOML's."""
    lines = "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items())
    return f"[{name}]\n{lines}\n"


def _write_certificates(folder: Path) -> None:
    now = datetime.datetime.now(datetime.UTC)
    authority, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    root = (
        _certificate("outcrop-objects", authority.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(authority, hashes.SHA256())
    )
    usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    loopback = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    leaf = (
        _certificate("store", key.public_key(), now)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(x509.SubjectAlternativeName([loopback]), critical=False)
        .sign(authority, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    write_secret(folder / "ca.pem", root.public_bytes(pem))
    write_secret(folder / "cert.pem", leaf.public_bytes(pem))
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    write_secret(folder / "key.pem", secret)


def _certificate(
    name: str, key: ec.EllipticCurvePublicKey, now: datetime.datetime
) -> x509.CertificateBuilder:
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "outcrop-objects")])
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _DAY)
        .not_valid_after(now + _LIFETIME)
    )


def write_secret(file: Path, content: bytes) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as opened:
        opened.write(content)
