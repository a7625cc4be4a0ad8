"""Keys and the light client that sends one; redaction, workers' environment, safe paths."""
