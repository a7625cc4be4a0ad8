"""Commands that set up and maintain the product: init, config, keys, agents, clean."""
