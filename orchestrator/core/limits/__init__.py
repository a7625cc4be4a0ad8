"""Limits of jobs and API keys: admission, ceilings on settings, quotas, and caps."""
