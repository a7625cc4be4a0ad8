"""Start commits of attempts that build on other work."""
