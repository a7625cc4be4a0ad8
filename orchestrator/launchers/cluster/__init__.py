"""Runs workers on several machines: the server's launcher, and the process of a node.

This package is imported only if ``cluster.listen`` is set, and by ``orchestrator node`` and
``orchestrator nodes``.

- ``connection``: messages, tunnels, certificates, addresses, and leases of a node's connection
- ``dask``: nodes on the workers of a Dask cluster
- ``file_transfer``: files of attempts on nodes with their own file systems
- ``node``: the process of a node, and the file with which a machine becomes a node
"""
