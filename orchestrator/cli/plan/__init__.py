"""Commands and options around plans: options of jobs, plan files, review, gates."""
