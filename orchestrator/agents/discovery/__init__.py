"""Which agents this machine and the nodes of a cluster can run, and how to make others
available.
"""
