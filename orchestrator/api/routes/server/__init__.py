"""The calls about the server: logins, agents, statistics, its project and keys."""
