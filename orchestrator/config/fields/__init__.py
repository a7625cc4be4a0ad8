"""Types of the settings' values, and checks of the values."""
