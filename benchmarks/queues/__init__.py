"""Queue systems as peers: each module is a program that runs in ``benchmarks/.venv``.

A program prints ``ready``, reads lines "count directory", runs that many commands, and answers each
line with ``done``.
"""
