"""Functions that cut and format text, match paths with patterns, and read untrusted JSON."""
