"""How a statement that runs at every notification is run: compiled once, then straight by the database's driver.

SQLAlchemy works out at each execution what to send, how values are brought over and what comes back: nearly half of
the processor time that a notification took in its ledger on SQLite, a third on PostgreSQL. Here that is worked out
once for each database; the text, the types and the errors are still SQLAlchemy's. For whatever does not run a hundred
times a second `connection.execute` is the way.
"""

from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Dialect, Executable
from sqlalchemy import exc as sql
from sqlalchemy.dialects import sqlite

Values = Mapping[str, object]
_Convert = Callable[[Any], Any]
_NAMED = sqlite.dialect(paramstyle="named")


class Statement:
    """One statement, written in SQLAlchemy Core with named parameters.

    Args:
        core: Without expanding parameters: several ids are as many runs, which PostgreSQL is sent together.
        returns: The columns that it returns, in their order.
        sets: The columns that an insert is given values for, where it does not say so itself.
    """

    def __init__(
        self, core: Executable, *, returns: Sequence[ColumnElement[Any]] = (), sets: Sequence[str] = ()
    ) -> None:
        self._core = core
        self._returns = returns
        self._sets = sets
        self._row: Any = namedtuple("Row", [str(column.key) for column in returns])  # type: ignore[misc]
        self._by_dialect: dict[str, _Compiled] = {}

    def write(self, connection: Connection, runs: Sequence[Values]) -> int:
        """Run it once for each of `runs`, in this order.

        Returns:
            How many rows of its table that wrote.

        Raises:
            sqlalchemy.exc.DBAPIError: As `connection.execute` does.
        """
        compiled = self._compiled(connection.dialect)
        cursor = self._run(connection, compiled, [compiled.bound(run) for run in runs])
        written: int = cursor.rowcount
        cursor.close()
        return written

    def rows(self, connection: Connection, runs: Sequence[Values]) -> list[Any]:
        """Run it once for each of `runs`, in this order.

        Returns:
            What they return, all runs together, as named tuples.

        Raises:
            sqlalchemy.exc.DBAPIError: As `connection.execute` does.
        """
        compiled = self._compiled(connection.dialect)
        found: list[Any] = []
        # SQLite's driver takes several values only where nothing comes back, and for it a run costs nothing to begin.
        portions = [[run] for run in runs] if connection.dialect.name == "sqlite" else [runs]
        for portion in portions:
            cursor = self._run(connection, compiled, [compiled.bound(run) for run in portion], returning=True)
            found += cursor.fetchall()
            while len(portion) > 1 and cursor.nextset():
                found += cursor.fetchall()
            cursor.close()
        return [self._row(*compiled.read(row)) for row in found]

    def _compiled(self, dialect: Dialect) -> "_Compiled":
        found = self._by_dialect.get(dialect.name)
        if found is None:
            found = self._by_dialect[dialect.name] = _compile(self._core, self._returns, self._sets, dialect)
        return found

    def _run(
        self,
        connection: Connection,
        compiled: "_Compiled",
        values: Sequence[Values],
        **returning: bool,  # psycopg's alone: SQLite's driver does not know it
    ) -> Any:
        cursor: Any = connection.connection.cursor()
        try:
            if len(values) == 1:
                cursor.execute(compiled.text, values[0])
            else:
                cursor.executemany(compiled.text, values, **returning)
        except connection.dialect.loaded_dbapi.Error as error:
            # As SQLAlchemy puts it: its classes are what the ledger's callers know. Never with the values.
            raise sql.DBAPIError.instance(
                compiled.text,
                None,
                error,
                connection.dialect.loaded_dbapi.Error,
                hide_parameters=True,
                dialect=connection.dialect,
            ) from None
        return cursor


@dataclass(frozen=True, slots=True)
class _Compiled:
    """What one database's driver is given.

    Attributes:
        constants: The values that the statement itself says, by parameter.
        binds: How a parameter's value becomes the driver's; None where it already is.
        reads: The same for each column that comes back.
    """

    text: str
    constants: dict[str, Any]
    binds: dict[str, _Convert | None]
    reads: tuple[_Convert | None, ...]

    def bound(self, values: Values) -> dict[str, Any]:
        """Every parameter's value as the driver takes it."""
        bound = self.constants.copy()
        for name, value in values.items():
            convert = self.binds[name]
            bound[name] = value if convert is None else convert(value)
        return bound

    def read(self, row: Sequence[Any]) -> list[Any]:
        """A row as the driver gave it, in our types."""
        return [
            value if convert is None else convert(value)
            for value, convert in zip(row, self.reads, strict=True)
        ]


def _compile(
    core: Executable, returns: Sequence[ColumnElement[Any]], sets: Sequence[str], dialect: Dialect
) -> _Compiled:
    # SQLite's driver takes names as well, and then needs no order.
    compiled: Any = core.compile(  # type: ignore[attr-defined]
        dialect=_NAMED if dialect.name == "sqlite" else dialect, column_keys=list(sets) or None
    )
    binds = {
        name: bind.type.dialect_impl(dialect).bind_processor(dialect) for name, bind in compiled.binds.items()
    }
    constants = {
        name: convert(bind.value) if (convert := binds[name]) else bind.value
        for name, bind in compiled.binds.items()
        if not bind.required
    }
    reads = tuple(column.type.dialect_impl(dialect).result_processor(dialect, None) for column in returns)
    return _Compiled(text=compiled.string, constants=constants, binds=binds, reads=reads)
