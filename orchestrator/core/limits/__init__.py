"""What a job may use: settings within ceilings, admission, quotas, budgets."""
