"""Order, slots, holds, throttles, and placement of the workers that wait for a start."""
