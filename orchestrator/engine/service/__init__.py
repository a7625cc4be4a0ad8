"""Use cases that the API and the command line call. ``Service`` has all of them, with contracts.

The other classes implement the methods of ``Service``.
"""
