"""Lines of many processes stay whole, and each says whose it is."""

from io import BytesIO

from workers.up.log_lines import LogLines


def test_a_line_of_json_is_passed_on_as_it_is_after_the_name() -> None:
    out = BytesIO()

    LogLines(out, width=8, colours=False).write("ingest", b'{"event":"x","n":1}\n')

    assert out.getvalue() == b'ingest   | {"event":"x","n":1}\n'


def test_a_last_line_without_an_end_gets_one() -> None:
    out = BytesIO()
    lines = LogLines(out, width=1, colours=False)

    lines.write("a", b"cut off")
    lines.write("b", b"next\n")

    assert out.getvalue() == b"a | cut off\nb | next\n"


def test_on_a_terminal_each_process_has_its_colour_and_keeps_it() -> None:
    out = BytesIO()
    lines = LogLines(out, width=1, colours=True)

    for name in ("a", "b", "a"):
        lines.write(name, b"x\n")

    first, second, third = out.getvalue().splitlines()
    assert first == third != second
    assert first.startswith(b"\x1b[")
    assert first.endswith(b"\x1b[0mx")


def test_a_reader_that_went_away_stops_no_process() -> None:
    out = BytesIO()
    out.close()

    LogLines(out, width=1, colours=False).write("a", b"x\n")

    assert out.closed
