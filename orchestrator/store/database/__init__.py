"""The database: connections and their errors, migrations, locks."""
