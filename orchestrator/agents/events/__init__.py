"""Reports of a working agent: from lines of output to events and a transcript."""
