"""Commands about plans, and their options: settings of jobs, plan files, review, gates."""
