"""A person sends comments on a worker's change back to it."""
