"""What the survey works out: history, manifests, the whole analysis."""
