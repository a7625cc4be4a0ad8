"""Commands about plans and gates, the options for settings of jobs, and plan files."""
