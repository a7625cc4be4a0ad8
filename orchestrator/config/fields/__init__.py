"""Types and checks of the settings' values, and the base class of sections."""
