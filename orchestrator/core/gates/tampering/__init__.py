"""Changes by which work would pass its gates without being right."""
