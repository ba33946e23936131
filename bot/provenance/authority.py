"""Whose signature pictures carry: a certificate authority and a leaf of this installation's own, made at first start; or the operator's. Used by this package.

In the folder ``signing`` of the data directory, readable by its owner only: ``authority.pem`` (key and certificate, which signs leaves alone) and
``leaf.pem`` (key and certificate, which signs pictures). Nobody outside knows this authority, so other people's readers call its signature valid but
not trusted, until the operator gives them the certificate; this installation trusts it by itself.

No time stamp authority is asked, since nothing leaves the machine: a reader takes a manifest for expired once its leaf is. Hence the long lives.

The profile is that of C2PA 2.2, "X.509 certificates" (https://spec.c2pa.org/specifications/specifications/2.2/specs/C2PA_Specification.html#x509_certificates).
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY_LIFE, LEAF_LIFE = timedelta(days=30 * 365), timedelta(days=10 * 365)
RENEWED = timedelta(days=365)  #: a leaf with less time left is replaced at the next start
EARLIER = timedelta(days=1)  #: certificates begin so long ago, for clocks that disagree
ORGANISATION = "Word Up!"

PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey
_CURVES = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What signs, and what a reader needs to know it again. PEM."""

    chain: str  #: the leaf first
    key: str = field(repr=False)  #: PKCS #8, not encrypted
    algorithm: str  #: as C2PA names it: es256, ps256, ed25519, …

    @property
    def leaf(self) -> str:
        return _pem(x509.load_pem_x509_certificates(self.chain.encode())[0])

    @property
    def anchor(self) -> str:
        """The last of the chain: the authority, or the one nearest to it that is known."""
        return _pem(x509.load_pem_x509_certificates(self.chain.encode())[-1])


def own(folder: Path, now: datetime) -> Credentials:
    """The installation's credentials, made where there are none. Two processes that start at once agree on one authority. Blocking; raises OSError."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    authority_file, leaf_file = folder / "authority.pem", folder / "leaf.pem"
    if not authority_file.exists():
        _write(authority_file, _new_authority(now), replace=False)
    authority_key, authority = _read(authority_file)
    if not _fits(leaf_file, authority, now):
        _write(leaf_file, _new_leaf(authority_key, authority, now), replace=True)
    key, leaf = _read(leaf_file)
    return Credentials(chain=_pem(leaf) + _pem(authority), key=_key_pem(key), algorithm=algorithm_of(key))


def operators(certificate: Path, key: Path) -> Credentials:
    """The operator's own: a PEM chain, the leaf first, and its key without a password. Blocking; raises OSError where they cannot be used."""
    try:
        chain = x509.load_pem_x509_certificates(certificate.read_bytes())
        private = serialization.load_pem_private_key(key.read_bytes(), password=None)
    except (ValueError, TypeError) as error:
        raise OSError(errno.EINVAL, f"not a PEM chain and a PEM key without a password ({error})", str(certificate)) from error
    if not isinstance(private, PrivateKey):
        raise OSError(errno.EINVAL, "a key of a kind C2PA does not know", str(key))
    if chain[0].public_key() != private.public_key():
        raise OSError(errno.EINVAL, "the key is not that of the first certificate", str(certificate))
    return Credentials(chain="".join(_pem(each) for each in chain), key=_key_pem(private), algorithm=algorithm_of(private))


def algorithm_of(key: PrivateKey) -> str:
    """As C2PA names it. Raises OSError for a curve it does not know."""
    if isinstance(key, rsa.RSAPrivateKey):
        return "ps256"
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return "ed25519"
    if key.curve.name not in _CURVES:
        raise OSError(errno.EINVAL, f"a key on the curve {key.curve.name}, which C2PA does not know")
    return _CURVES[key.curve.name]


def _new_authority(now: datetime) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(f"Authority of installation {secrets.token_hex(4)}")
    usage = _usage(signs_certificates=True)
    certificate = (
        _certificate(name, name, key.public_key(), now, AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return (_key_pem(key) + _pem(certificate)).encode()


def _new_leaf(authority_key: PrivateKey, authority: x509.Certificate, now: datetime) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    above = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    certificate = (
        _certificate(_name("Pictures"), authority.subject, key.public_key(), now, LEAF_LIFE)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(above), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    return (_key_pem(key) + _pem(certificate)).encode()


def _certificate(subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey, now: datetime, life: timedelta) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - EARLIER)
        .not_valid_after(now + life)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, ORGANISATION), x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _fits(file: Path, authority: x509.Certificate, now: datetime) -> bool:
    """Whether the leaf is there, is this authority's and lasts a while."""
    try:
        leaf = _read(file)[1]
        leaf.verify_directly_issued_by(authority)
    except (OSError, ValueError, TypeError):
        return False
    except Exception:  # InvalidSignature, which is no ValueError: another authority's leaf
        return False
    return leaf.not_valid_after_utc - now > RENEWED


def _read(file: Path) -> tuple[PrivateKey, x509.Certificate]:
    """Raises OSError when the file is there and cannot be understood."""
    data = file.read_bytes()
    try:
        key, certificate = serialization.load_pem_private_key(data, password=None), x509.load_pem_x509_certificate(data)
    except (ValueError, TypeError) as error:
        raise OSError(errno.EINVAL, f"damaged; move it away to have a new one made ({error})", str(file)) from error
    if not isinstance(key, PrivateKey):
        raise OSError(errno.EINVAL, "a key of another kind", str(file))
    return key, certificate


def _write(file: Path, data: bytes, *, replace: bool) -> None:
    """Whole or not at all, readable by its owner only. Without `replace` the first of several processes wins."""
    beside = file.with_suffix(f".{os.getpid()}.{secrets.token_hex(4)}")
    try:
        with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        if replace:
            beside.replace(file)
        else:
            with contextlib.suppress(FileExistsError):
                os.link(beside, file)
    finally:
        beside.unlink(missing_ok=True)


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _key_pem(key: PrivateKey) -> str:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()
