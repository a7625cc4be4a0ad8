"""Finding out which gates a project has."""
