"""Lists of many jobs or workers. They read columns, and no JSON documents."""
