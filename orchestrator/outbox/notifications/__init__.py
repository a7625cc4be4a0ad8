"""Notifications to people: "needs me" and "finished"."""
