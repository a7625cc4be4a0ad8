"""Calls about the server: logins, agents, statistics, project, and keys."""
