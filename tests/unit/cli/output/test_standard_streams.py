"""Detection of standard streams without a reader."""

import os
import pty

from orchestrator.cli.output.standard_streams import is_hung_up


def test_a_terminal_is_hung_up_when_its_other_end_is_closed() -> None:
    ours, theirs = pty.openpty()
    before = is_hung_up(theirs)
    os.close(ours)

    assert (before, is_hung_up(theirs)) == (False, True)

    os.close(theirs)
    assert not is_hung_up(theirs)
