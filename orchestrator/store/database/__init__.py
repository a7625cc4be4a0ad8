"""The database: connections, migrations, locks, errors."""
