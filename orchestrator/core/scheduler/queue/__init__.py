"""Order, slots, holds, and placement of the workers that wait for a start."""
