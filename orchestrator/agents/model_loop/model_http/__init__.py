"""One request to a model's server: transport, failures, rate limits."""
