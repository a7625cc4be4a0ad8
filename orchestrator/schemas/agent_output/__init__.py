"""Answers of agents, checked by a schema: plans and reviews."""
