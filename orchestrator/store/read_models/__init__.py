"""Lists of many jobs or workers. Their queries read columns, never JSON documents."""
