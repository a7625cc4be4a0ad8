"""Use cases that the API and the command line call."""
