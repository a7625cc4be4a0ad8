"""The database: connections and their errors, queries, writing of changes, migrations, locks."""
