"""How a row is added unless it is there already: one statement that both databases understand.

SQLAlchemy's own `on_conflict_do_nothing` is compiled anew at every use (it has no cache key in 2.0), which costs more
than the insert itself.
"""

from sqlalchemy import Table, TextClause, bindparam, text


def insert_new(table: Table) -> TextClause:
    """An insert of all columns that changes nothing where the row, by any of its unique keys, exists."""
    names = [column.name for column in table.columns]
    values = ", ".join(f":{name}" for name in names)
    statement = f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({values}) ON CONFLICT DO NOTHING"  # noqa: S608 - names of our own tables
    return text(statement).bindparams(
        *(bindparam(column.name, type_=column.type) for column in table.columns)
    )
