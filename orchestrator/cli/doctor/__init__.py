"""The command ``doctor``: one module for each subject that it checks."""
