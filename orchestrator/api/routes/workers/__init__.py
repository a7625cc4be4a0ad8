"""The calls for one worker: feedback, checkpoints, and reports of the worker itself."""
