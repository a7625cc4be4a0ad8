"""Security: secrets, safe access to files, and safe text for terminals.

- ``files``: Safe access to files, and the directories of the product
- ``secrets``: API keys, masking of secrets in text, and signatures of incoming events

``allowed_environment`` selects the variables that workers inherit. ``control_sequences`` removes
terminal control sequences from the output of workers.
"""
