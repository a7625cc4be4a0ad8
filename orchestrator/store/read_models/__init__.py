"""Reads of many workers at once, from columns beside their documents."""
