"""The command line itself: the table of commands, groups of commands, and the main function."""
