"""Planning of a request by rules; prompts of reviewers."""
