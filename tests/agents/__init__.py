"""AI agents: the product against a model API of the tests."""
