"""Reads the output of agents: turns lines into events in one format, and into a transcript."""
