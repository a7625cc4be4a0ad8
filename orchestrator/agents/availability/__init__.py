"""Agents that this machine and a cluster's nodes can run; steps to make an agent available."""
