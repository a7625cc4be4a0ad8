"""The real tools, from npm, driven through a server by the model API of the tests."""
