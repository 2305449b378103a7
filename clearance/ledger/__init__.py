"""What Clearance remembers, in SQL: SQLite embedded by default, PostgreSQL in production."""
