"""AI agents: the product against a model API that these tests own."""
