"""Limits of a job: settings within ceilings, admission, quotas, caps."""
