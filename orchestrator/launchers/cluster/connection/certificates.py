"""The certificate authority of a cluster, and the certificates of its server and nodes.

Only the server needs the package ``cryptography``, of the extra ``cluster``.
"""

import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.core.errors import ConfigError, Conflict
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.text.command_name import COMMAND, install_command
from orchestrator.launchers.cluster.connection.link import SERVER_NAME
from orchestrator.security.files.atomic_write import replace_file

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

AUTHORITY, SERVER = "ca", "server"
_AUTHORITY_DAYS = 7300
#: A certificate is valid from this many days before its creation, because the clocks of machines
#: differ.
_DAYS_BEFORE = 1


@dataclass(frozen=True, slots=True)
class IssuedCertificate:
    """A certificate and its private key, in PEM format."""

    certificate: str
    key: str
    #: Serial number, in upper-case hexadecimal digits.
    serial: str


class CertificateAuthority:
    """The certificate authority, stored in a directory as ``ca.pem`` and ``ca.key``.

    The server's certificate and its key are in ``server.pem`` in the same directory.

    Methods raise OSError if a file cannot be read or written, and ConfigError if the package
    ``cryptography`` is not installed.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    @property
    def exists(self) -> bool:
        return (self._directory / f"{AUTHORITY}.key").exists()

    @property
    def certificate(self) -> str:
        return (self._directory / f"{AUTHORITY}.pem").read_text(encoding="ascii")

    def create(self) -> None:
        """Create the authority. Raise Conflict if the directory already contains one."""
        if self.exists:
            raise Conflict(
                f"{self._directory} already contains a certificate authority; "
                f"add a node: {COMMAND} nodes add NAME"
            )
        issued = _issue("orchestrator cluster", None, _AUTHORITY_DAYS)
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace_file(self._directory / f"{AUTHORITY}.pem", issued.certificate.encode())
        # Write the key last: ``exists`` checks the key, so a crash before this line leaves no
        # authority.
        replace_file(self._directory / f"{AUTHORITY}.key", issued.key.encode())

    def renew_server(self, days: float) -> None:
        issued = _issue(SERVER_NAME, self._certificate_and_key(), days, for_server=True)
        # Write one file, so that a crash cannot leave a key with the certificate of another key.
        content = issued.certificate + issued.key
        replace_file(self._directory / f"{SERVER}.pem", content.encode())
        # Earlier releases stored the key in this file.
        (self._directory / f"{SERVER}.key").unlink(missing_ok=True)

    def issue(self, name: str, days: float) -> IssuedCertificate:
        """Return a new certificate for a node. The certificate is not stored."""
        return _issue(name, self._certificate_and_key(), days)

    def _certificate_and_key(self) -> tuple["x509.Certificate", "EllipticCurvePrivateKey"]:
        x509, serialization = _cryptography()
        key = (self._directory / f"{AUTHORITY}.key").read_bytes()
        certificate = x509.load_pem_x509_certificate(self.certificate.encode())
        return certificate, serialization.load_pem_private_key(key, password=None)


def _cryptography() -> tuple[Any, Any]:
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives import serialization
    except ImportError as error:
        raise ConfigError(
            "the package cryptography is not installed; "
            f"install it: {install_command('cryptography')}"
        ) from error
    return x509, serialization


def _issue(
    name: str,
    authority: tuple["x509.Certificate", "EllipticCurvePrivateKey"] | None,
    days: float,
    *,
    for_server: bool = False,
) -> IssuedCertificate:
    x509, serialization = _cryptography()
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, name)])
    issuer, signer = (authority[0].subject, authority[1]) if authority else (subject, key)
    now = datetime.datetime.now(datetime.UTC)
    serial = x509.random_serial_number()
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(now - datetime.timedelta(days=_DAYS_BEFORE))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=authority is None, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
    )
    if authority is None:
        usage = x509.KeyUsage(
            digital_signature=False, content_commitment=False, key_encipherment=False,
            data_encipherment=False, key_agreement=False, key_cert_sign=True, crl_sign=True,
            encipher_only=False, decipher_only=False,
        )  # fmt: skip
        builder = builder.add_extension(usage, critical=True)
    else:
        # Allow one purpose only, so that a node cannot use its certificate as the server's.
        oids = x509.oid.ExtendedKeyUsageOID
        purpose = oids.SERVER_AUTH if for_server else oids.CLIENT_AUTH
        builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=True)
        names = x509.SubjectAlternativeName([x509.DNSName(name)])
        builder = builder.add_extension(names, critical=False)
    certificate = builder.sign(signer, hashes.SHA256())
    pem = serialization.Encoding.PEM
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return IssuedCertificate(
        certificate.public_bytes(pem).decode(), private.decode(), f"{serial:X}"
    )
