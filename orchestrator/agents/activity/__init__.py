"""Reads the output of agents: turns lines into events of one form, and into a transcript."""
