"""The workers that wait for a start: order, slots, holds, placement."""
