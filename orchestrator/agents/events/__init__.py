"""What an agent reports while it works: lines become events and a transcript."""
