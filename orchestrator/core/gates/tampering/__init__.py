"""Changes that would make gates pass although the work is wrong."""
