"""Security: secrets, safe access to files, HTTP calls with a key, and safe text for terminals.

- ``files``: Safe access to files, and the directories of the product
- ``http_client``: HTTP calls with a key, for programs that must start fast
- ``secrets``: API keys, masking of secrets in text, and signatures of incoming events

``allowed_environment`` selects the variables that workers inherit. ``control_sequences`` removes
terminal control sequences from the output of workers. ``ip_addresses`` recognizes addresses of this
machine. ``process_table`` reads processes from /proc.
"""
