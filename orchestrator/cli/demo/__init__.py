"""The command ``demo``: a real run with scripted agents in a separate repository."""
