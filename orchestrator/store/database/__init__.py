"""The database: connections and their errors, the writing of changes, migrations, and locks."""
