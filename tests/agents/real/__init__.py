"""The real tools, from npm, run by a server against the model API of the tests."""
