"""Reading the reports of tools, by format."""
