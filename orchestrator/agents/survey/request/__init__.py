"""What the request asks for: its intent, and the paths that it names."""
