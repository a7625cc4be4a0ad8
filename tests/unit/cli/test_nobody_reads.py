"""Whether anybody still reads what is said."""

import os

from orchestrator.cli.following import _nobody_reads


def test_a_pipe_is_read_until_its_other_end_is_closed() -> None:
    reading, writing = os.pipe()
    before = _nobody_reads(writing)
    os.close(reading)

    assert (before, _nobody_reads(writing)) == (False, True)

    os.close(writing)
    assert not _nobody_reads(writing)
