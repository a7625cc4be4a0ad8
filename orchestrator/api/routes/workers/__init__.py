"""The calls for one worker: feedback, checkpoints."""
