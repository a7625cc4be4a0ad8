"""The use case that drains a node of the cluster, or ends a drain."""

from collections.abc import Callable

from orchestrator.core.errors import NotFound
from orchestrator.core.model.caller import Caller
from orchestrator.core.ports.read_models import NodeState
from orchestrator.engine.service.access.authorization import Access


class NodeCalls:
    def __init__(self, access: Access, drain: Callable[[str, bool], NodeState] | None) -> None:
        """``drain``: a function with two arguments; None without a cluster.

        The arguments are a node's name; and True to drain the node, or False to end the drain.
        """
        self._access = access
        self._drain = drain

    def drain_node(self, caller: Caller, name: str, *, drained: bool) -> NodeState:
        """Drain a node of the cluster if ``drained`` is True; otherwise end its drain. Idempotent.

        No worker starts on a drained node, but running workers continue. A drain survives restarts
        of the server. Raise Forbidden without the scope admin. Raise NotFound, with the known
        names, for an unknown node.
        """
        self._access.check_admin(caller, "change nodes")
        if self._drain is None:
            raise NotFound(
                f"unknown node {name!r}; known: none, because cluster.listen is not set in "
                "config.yaml"
            )
        return self._drain(name, drained)
