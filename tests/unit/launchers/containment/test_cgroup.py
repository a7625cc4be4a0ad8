"""Reading the files of control groups."""

from pathlib import Path

from orchestrator.launchers.containment import cgroup


def test_a_mount_whose_name_is_not_ascii_stops_no_server(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_bytes("/dev/sda1 /media/ann/Büro ext4 rw 0 0\n".encode() + b"/dev/sdb /\xff\n")

    assert cgroup.read(str(mounts)).splitlines()[0].split()[1] == "/media/ann/Büro"
    assert cgroup.read(str(tmp_path / "missing")) == ""
