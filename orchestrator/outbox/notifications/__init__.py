"""Notifications of people: *needs me* and *finished*."""
