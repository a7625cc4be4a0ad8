"""The use cases: what the API and the command line call."""
