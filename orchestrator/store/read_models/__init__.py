"""Lists of many jobs or workers, from columns, without their JSON documents."""
