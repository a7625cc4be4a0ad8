"""Tests of AI agents with a stub of the model APIs."""
