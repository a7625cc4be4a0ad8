"""The record of an attempt's end: its lock, its file, its proof."""
