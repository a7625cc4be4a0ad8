"""HTTP calls with a key, for programs that must start fast.

The modules use only the standard library. Calls use no proxy.
"""
