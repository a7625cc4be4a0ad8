"""Calls about the server: logins, health, agents, nodes, statistics, project, and keys."""
