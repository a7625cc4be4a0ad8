"""Crashes while the certificates of a cluster are written."""

from pathlib import Path

import pytest
from cryptography.x509 import load_pem_x509_certificate

from orchestrator.core import failpoints
from orchestrator.launchers.cluster.connection.certificates import CertificateAuthority
from orchestrator.launchers.cluster.connection.link import tls


class Crash(BaseException):
    pass


def init(directory: Path, crash_at: int = 0) -> int:
    """Create or renew the certificates. Return the number of failpoints that were reached.

    ``crash_at``: the number of the failpoint at which the process crashes; 0: it does not crash.
    """
    reached = 0

    def count(_: str) -> None:
        nonlocal reached
        reached += 1
        if reached == crash_at:
            raise Crash

    authority = CertificateAuthority(directory)
    failpoints.arm(count)
    try:
        if not authority.exists:
            authority.create()
        authority.renew_server(days=1)
    except Crash:
        pass
    finally:
        failpoints.arm(None)
    return reached


def check(directory: Path) -> None:
    """Check that the server's key, certificate, and authority belong together."""
    tls(directory, "server", is_server=True)
    server = load_pem_x509_certificate((directory / "server.pem").read_bytes())
    authority = CertificateAuthority(directory).certificate
    server.verify_directly_issued_by(load_pem_x509_certificate(authority.encode()))
    assert "PRIVATE KEY" not in authority, "nodes get this file"


def test_a_crash_during_the_creation_is_mended_by_the_next_one(tmp_path: Path) -> None:
    for number in range(1, init(tmp_path / "whole") + 1):
        directory = tmp_path / str(number)
        init(directory, crash_at=number)
        init(directory)
        check(directory)


@pytest.mark.parametrize("is_split", [False, True], ids=["current", "earlier release"])
def test_a_crash_during_a_renewal_leaves_a_usable_certificate(
    tmp_path: Path, is_split: bool
) -> None:
    init(tmp_path)
    for number in range(1, init(tmp_path) + 1):
        init(tmp_path)
        if is_split:
            split_certificate_and_key(tmp_path / "server.pem")
        check(tmp_path)
        init(tmp_path, crash_at=number)
        check(tmp_path)


def split_certificate_and_key(path: Path) -> None:
    begin = "-----BEGIN PRIVATE KEY-----"
    certificate, key = path.read_text().split(begin)
    path.write_text(certificate)
    path.with_suffix(".key").write_text(begin + key)
