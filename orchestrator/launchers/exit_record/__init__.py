"""The lock and the exit record of an attempt, and the check for forged records."""
