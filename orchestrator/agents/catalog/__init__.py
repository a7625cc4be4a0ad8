"""Prices, availability and task fit of agents."""
