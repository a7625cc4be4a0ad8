"""Types of fields, and validation errors."""
