"""Secrets: API keys, masking of secrets in text, and signatures of incoming events."""
