"""The analysis of a survey: history, manifests, project map, result."""
