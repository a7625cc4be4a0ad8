"""What commands print: errors, exit codes, tables, terminals."""
