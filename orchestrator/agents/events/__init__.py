"""Reports of a working agent: lines become events and a transcript."""
