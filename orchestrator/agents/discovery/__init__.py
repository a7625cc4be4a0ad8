"""Agents that this machine and a cluster's nodes can run, and how to make others available."""
