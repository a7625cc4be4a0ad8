"""Answers of agents: plans, gates, reviews."""
