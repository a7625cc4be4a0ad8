"""The domain: values, state machine and scheduling; standard library only, no I/O."""
