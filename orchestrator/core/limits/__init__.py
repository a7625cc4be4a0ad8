"""Limits of jobs: admission, ceilings on settings, quotas, and caps."""
