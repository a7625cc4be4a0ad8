"""Output of commands: errors, exit codes, tables, terminals."""
