"""Commands that set up and look after the product: init, config, keys, agents, clean."""
