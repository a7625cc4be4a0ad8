"""Making tasks of a request by rules; reviewers' prompts."""
