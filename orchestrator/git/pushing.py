"""Push URLs that refuse, for the git of workers: settings, so that no repository is changed."""

from collections.abc import Iterator

from orchestrator.git.running import Git

#: Takes the place of an address: git prints it as a repository that does not exist.
REFUSED = "/dev/null/pushing is off for workers (git.push): "
#: Whatever begins so leads to another machine. A remote of the repository may be any address.
_NETWORK = ("https://", "http://", "ssh://", "git+ssh://", "git://", "git@")
_REMOTES = r"^remote\..*\.(url|pushurl)$"


def refusals(git: Git) -> Iterator[tuple[str, str]]:
    """Settings of git by which it pushes nowhere, as names and values; fetching stays as it is.

    Of the user's own rules for addresses the longest wins: each remote is named in full.
    """
    listed = git.run("config", "-z", "--get-regexp", _REMOTES, accept=(0, 1)).fields
    found = [each.partition("\n") for each in listed]
    for name, _, address in found:
        # For a pushurl, rules for pushing do not count.
        rule = "insteadOf" if name.endswith(".pushurl") else "pushInsteadOf"
        if address:
            yield f"url.{REFUSED}.{rule}", address
    for prefix in _NETWORK:
        yield f"url.{REFUSED}.pushInsteadOf", prefix
