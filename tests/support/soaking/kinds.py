"""The kinds of jobs of a soak: the commands of their workers, and their possible ends."""

import json
import random
import shlex
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from tests.faults.site import ENDED, FaultSite, fault_tasks
from tests.faults.zygote import REPOSITORY
from tests.integration.site import Answer, shell
from tests.support.project import edit

#: Number of retries, more than kills can use up.
RETRIES = 50
COMPLETED = frozenset({"completed"})
ANYHOW = frozenset(ENDED)

ESCAPEES = REPOSITORY / "tests" / "integration" / "launchers" / "escapees.py"
DESCEND = """
n=$1
if [ "$n" -gt 0 ]; then
  exec orchestrator spawn "level $n" --command "bash $0 $((n - 1))" --wait
fi
sleep 0.$((RANDOM % 5))
"""
#: Links, a pipe, a device, strange names and texts, and a directory without permissions.
LITTER = r"""
ln -sf /etc/passwd output.md; rm -f result.json; mkfifo result.json; mknod device c 1 3
ln -s .. up; ln -f /proc/self/status hard; mkdir -p deep/$(printf 'd/%.0s' $(seq 60))
touch "$(printf 'line\nbreak')" "$(printf '\xff\xfe')" '<script>' '{{ 7 * 7 }}'
printf '\033]0;title\007\033[2J\000\xff'; head -c 3000000 /dev/zero | tr '\0' 'x'
mkdir -p closed/within; chmod 0 closed/within closed; echo; true
"""
#: Reports an overlap if two workers have the lock.
LOCKED = """
orchestrator lock soak:db --wait 100 >/dev/null
exec 8>>'{place}/db.lock'
flock -n 8 || echo 'overlap soak:db' >> '{effects}'
sleep 0.0$((RANDOM % 10))
exec 8>&-
orchestrator unlock soak:db
"""
#: Writes a file that the gates reject, except in the second attempt.
SENT_BACK = """
echo worked > mended.txt
if [ -e "$ORCHESTRATOR_WORKER_DIR/tried" ]; then rm -f broken; else echo x > broken; fi
touch "$ORCHESTRATOR_WORKER_DIR/tried"
"""
SPAWN = "orchestrator spawn below --tasks '{children}' --wait >/dev/null; echo above > above.txt"
WHOLE_RESULT = ("locked_1.txt", "locked_2.txt", "mended.txt", "above.txt", "below.txt")


@dataclass(frozen=True, kw_only=True)
class Kind:
    tasks: Callable[[FaultSite, random.Random], list[Answer]]
    #: Allowed final statuses of a job of this kind.
    ends: Collection[str] = COMPLETED
    #: True if the job runs until it is cancelled.
    cancelled: bool = False
    config: Mapping[str, object] = field(default_factory=dict)


def _family(site: FaultSite, rng: random.Random) -> list[Answer]:
    return fault_tasks(site, retries=RETRIES, pause=f"sleep 0.{rng.randrange(4)}; ")


def _deep(site: FaultSite, rng: random.Random) -> list[Answer]:
    script = site.folder / "descend.sh"
    if not script.exists():
        script.write_text(DESCEND)
    return [shell(f"bash {script} {rng.randint(1, 3)}", retries=RETRIES) for _ in range(2)]


def _wide(site: FaultSite, rng: random.Random) -> list[Answer]:
    most = rng.randint(4, 16)
    good = [shell(f"sleep 0.{rng.randrange(3)}", retries=RETRIES) for _ in range(most)]
    return [*good, shell("echo broken; exit 3", retries=1)]


def _late(site: FaultSite, rng: random.Random) -> list[Answer]:
    return [shell("trap '' TERM; sleep 300", timeout=rng.uniform(0.5, 2))]


def _endless(site: FaultSite, rng: random.Random) -> list[Answer]:
    child = 'orchestrator spawn "endless" --command "sleep 300" --wait'
    commands = ["sleep 300", child, "trap '' TERM; sleep 300 & sleep 300"]
    return [shell(command, retries=RETRIES) for command in commands]


def _escape(site: FaultSite, rng: random.Random) -> list[Answer]:
    program = shlex.join([sys.executable, "-S", str(ESCAPEES)])
    return [shell(f'mkdir -p beats; {program} "$PWD/beats" leave', retries=RETRIES)]


def _murder(site: FaultSite, rng: random.Random) -> list[Answer]:
    return [shell("setsid sleep 300 & kill -9 $PPID; sleep 300", retries=1)]


def _litter(site: FaultSite, rng: random.Random) -> list[Answer]:
    return [shell(LITTER, retries=1), shell('rm -rf "$PWD"; cd /; echo gone', retries=1)]


def _repository(site: FaultSite, rng: random.Random) -> list[Answer]:
    """Return tasks with leases, claims, a conflict, work that a gate rejects, and a child job."""
    children = site.folder / "changes.json"
    if not children.exists():
        children.write_text(json.dumps([edit("echo below > below.txt", retries=RETRIES)]))
    locked = LOCKED.format(place=site.folder, effects=site.effects)
    scripts = [
        *(f"{locked}echo {n} > locked_{n}.txt" for n in (1, 2)),
        *(f"echo {rng.random()} > a.txt" for _ in range(2)),
        SENT_BACK,
        SPAWN.format(children=children),
    ]
    return [edit(script, retries=RETRIES, locks=[f"part:{rng.randrange(3)}"]) for script in scripts]


KINDS: Mapping[str, Kind] = {
    "family": Kind(tasks=_family),
    "deep": Kind(tasks=_deep),
    "wide": Kind(tasks=_wide, ends=frozenset({"partial"})),
    "late": Kind(tasks=_late, ends=frozenset({"failed"})),
    "endless": Kind(tasks=_endless, ends=frozenset({"cancelled"}), cancelled=True),
    "escape": Kind(tasks=_escape),
    "murder": Kind(tasks=_murder, ends=ANYHOW),
    "litter": Kind(tasks=_litter, ends=ANYHOW),
    "repository": Kind(tasks=_repository, config={"gates": ["test ! -e broken", "test -d ."]}),
}
