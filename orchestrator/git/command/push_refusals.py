"""Settings of git that make the pushes of workers fail."""

import os
from collections.abc import Iterator

from orchestrator.git.command import git_config
from orchestrator.git.command.runner import Git

#: Replaces the addresses of pushes, so that every push fails with this text.
REFUSED = "/dev/null/pushing is off for workers (git.push): "
#: Prefixes of addresses on other machines, for pushes to an address that is not an address of a
#: remote.
_NETWORK = ("https://", "http://", "ssh://", "git+ssh://", "git://", "git@")
_REMOTES = r"^remote\..*\.(url|pushurl)$"


def refusals(git: Git) -> Iterator[tuple[str, str]]:
    """Yield the names and values of git settings that make every push fail. Fetching still works.

    Each setting replaces addresses that begin with the setting's value. If the values of several
    settings match an address, git applies the setting with the longest value. Therefore each remote
    gets a setting with its full address: no setting of the user has a longer match.
    """
    settings = os.fsdecode(git_config.matching(git, _REMOTES)).split("\0")[:-1]
    pairs = [each.partition("\n") for each in settings]
    for name, _, address in pairs:
        # Git does not apply pushInsteadOf to a pushurl.
        rule = "insteadOf" if name.endswith(".pushurl") else "pushInsteadOf"
        if address:
            yield f"url.{REFUSED}.{rule}", address
    for prefix in _NETWORK:
        yield f"url.{REFUSED}.pushInsteadOf", prefix
