"""``lumocrypt shell`` on a terminal: prompts, keys, completion, history, Ctrl-C, colour."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import lumocrypt
from support.known_keys import RAW
from support.terminal import Terminal, terminal

HEX = f"x'{RAW.hex()}'"
KEY = lumocrypt.Key.raw(RAW)
PROMPT, MORE, LOCKED = "lumocrypt> ", "...> ", "lumocrypt (locked)> "
COLOUR = "\x1b["
ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n;"

Start = Callable[..., contextlib.AbstractContextManager[Terminal]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "app.db"
    connection = lumocrypt.connect(path, key=KEY)
    connection.execute("CREATE TABLE visits (who TEXT, destination TEXT)")
    connection.execute("INSERT INTO visits VALUES ('me', 'home')")
    connection.commit()
    connection.close()
    return path


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """Starts a shell on a terminal; the raw key is in the environment unless ``key`` is None."""

    @contextlib.contextmanager
    def start_one(
        *arguments: object, key: str | None = HEX, stdin: int | None = None, **environment: str
    ) -> Iterator[Terminal]:
        # No settings of whoever runs the tests.
        settled = {"XDG_STATE_HOME": str(tmp_path / "state"), "TERM": "xterm", "INPUTRC": "/dev/null",
                   "NO_COLOR": "1", "LUMO_KEY": key or ""}  # fmt: skip
        with terminal(
            ["-m", "lumocrypt", "shell", *map(str, arguments)], {**settled, **environment}, stdin
        ) as one:
            yield one

    return start_one


def history(tmp_path: Path) -> Path:
    return tmp_path / "state" / "lumocrypt" / "history"


def test_a_conversation(start: Start, path: Path) -> None:
    with start(path) as shell:
        shell.expect(f"{path}\r\n")
        shell.expect(PROMPT)
        shell.line("SELECT who,")
        shell.expect(MORE)
        shell.line("destination FROM visits;")
        shell.expect("| who | destination |")
        shell.expect("| me  | home        |")
        shell.expect(PROMPT)
        shell.line("SELECT nowt;")
        shell.expect("Error: no such column: nowt")
        shell.expect(PROMPT)
        shell.line("BEGIN;")
        shell.expect("lumocrypt (transaction)> ")
        shell.line("SELECT NULL AS n; ROLLBACK;")
        shell.expect("| NULL |")
        shell.expect(PROMPT)
        # Ctrl-D.
        shell.send("\x04")
        assert shell.end() == 0


def test_quit_has_the_code_that_is_asked_for(start: Start, path: Path) -> None:
    for command, code in ((".quit", 0), (".exit 5", 5)):
        with start(path) as shell:
            shell.expect(PROMPT)
            shell.line(command)
            assert shell.end() == code


# Keys


def test_the_key_is_asked_for(start: Start, path: Path) -> None:
    with start(path, key=None) as shell:
        shell.expect("Passphrase: ")
        shell.line(HEX)
        shell.expect(PROMPT)
        shell.line("SELECT who FROM visits;")
        shell.expect("| me  |")
        shell.expect(PROMPT)
        shell.line(".lumo-key")
        shell.expect("Error: the database needs no key")
        shell.line(".quit")
        assert shell.end() == 0
        assert RAW.hex() not in shell.seen
    with start(path, key=None) as shell:
        shell.expect("Passphrase: ")
        shell.line(f"x'{'11' * 32}'")
        assert shell.end() == 3
        assert "11" * 32 not in shell.seen


def test_a_new_database_asks_twice(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "new.db"
    with start(path, key=None) as shell:
        shell.expect("New passphrase: ")
        shell.line(HEX)
        shell.expect("Repeat the passphrase: ")
        shell.line(HEX)
        shell.expect(PROMPT)
        shell.line("CREATE TABLE t (a); PRAGMA user_version = 5;")
        shell.expect(PROMPT)
        shell.send("\x04")
        assert shell.end() == 0
    connection = lumocrypt.connect(path, key=KEY)
    assert connection.execute("PRAGMA user_version").fetchone() == (5,)
    connection.close()
    with start(tmp_path / "other.db", key=None) as shell:
        shell.expect("New passphrase: ")
        shell.line("one")
        shell.expect("Repeat the passphrase: ")
        shell.line("another")
        assert shell.end() == 3
    assert not (tmp_path / "other.db").exists()


def test_lumo_key_unlocks(start: Start, path: Path, tmp_path: Path) -> None:
    with start(path, "--no-key", key=None) as shell:
        shell.expect(LOCKED)
        shell.line("SELECT who FROM visits;")
        shell.expect("Error: ")
        shell.expect(LOCKED)
        shell.line(".lumo-key not-here")
        shell.expect("takes no argument")
        shell.expect(LOCKED)
        for wrong in (f"x'{'22' * 32}'", "x'00'"):
            shell.line(".lumo-key")
            shell.expect("Passphrase: ")
            shell.line(wrong)
            shell.expect("Error: ")
            shell.expect(LOCKED)
        # Ctrl-C leaves the question, and the shell goes on.
        shell.line(".lumo-key")
        shell.expect("Passphrase: ")
        shell.interrupt()
        shell.expect(LOCKED)
        shell.line(".lumo-key")
        shell.expect("Passphrase: ")
        shell.line(HEX)
        shell.expect(PROMPT)
        shell.line("SELECT who FROM visits;")
        shell.expect("| me  |")
        # A new database asks twice.
        shell.line(f".open {tmp_path}/fresh.db")
        shell.expect(".lumo-key asks for it")
        shell.expect(LOCKED)
        shell.line(".lumo-key")
        shell.expect("New passphrase: ")
        shell.line(HEX)
        shell.expect("Repeat the passphrase: ")
        shell.line(HEX)
        shell.expect(PROMPT)
        shell.line("CREATE TABLE t (a);")
        shell.expect(PROMPT)
        shell.line(".quit")
        assert shell.end() == 0
        assert RAW.hex() not in shell.seen
    assert lumocrypt.verify(tmp_path / "fresh.db", key=KEY).ok
    assert "not-here" not in history(tmp_path).read_text()


def test_lumo_change_key_changes_the_key(start: Start, path: Path) -> None:
    new = f"x'{'77' * 32}'"
    with start(path) as shell:
        shell.expect(PROMPT)
        shell.line("BEGIN;")
        shell.expect("(transaction)> ")
        shell.line(".lumo-change-key")
        shell.expect("Error: end the transaction first")
        shell.expect("(transaction)> ")
        shell.line("ROLLBACK;")
        shell.expect(PROMPT)
        shell.line(".lumo-change-key hunter2")
        shell.expect("takes no argument")
        shell.expect(PROMPT)
        for typed, answer in (
            ((new, new, new), "Error: "),
            ((HEX, new, HEX), "differ"),
            ((HEX, new, new), ""),
        ):
            shell.line(".lumo-change-key")
            for prompt, text in zip(
                ("Passphrase: ", "New passphrase: ", "Repeat the passphrase: "), typed, strict=True
            ):
                shell.expect(prompt)
                shell.line(text)
            shell.expect(answer)
            shell.expect(PROMPT)
        # The connection goes on.
        shell.line("INSERT INTO visits VALUES ('you', 'away'); SELECT count(*) AS n FROM visits;")
        shell.expect("| 2 |")
        shell.line(".quit")
        assert shell.end() == 0
        assert "77" * 32 not in shell.seen
        assert RAW.hex() not in shell.seen
    with pytest.raises(lumocrypt.WrongKeyError):
        lumocrypt.connect(path, key=KEY)
    connection = lumocrypt.connect(path, key=new)
    assert connection.execute("SELECT count(*) FROM visits").fetchone() == (2,)
    connection.close()


def test_a_script_on_standard_input_and_the_key_from_the_terminal(start: Start, path: Path) -> None:
    reading, writing = os.pipe()
    os.write(
        writing,
        f"SELECT who FROM visits;\n.open {path}\n.lumo-key\nSELECT destination FROM visits;\n".encode(),
    )
    os.close(writing)
    with start(path, key=None, stdin=reading) as shell:
        os.close(reading)
        for shown in ("me\r\n", "home\r\n"):
            shell.expect("Passphrase: ")
            shell.line(HEX)
            shell.expect(shown)
        assert shell.end() == 0
        # A script has no prompt and no banner.
        assert PROMPT not in shell.seen


# Editing


def test_completion(start: Start, path: Path, tmp_path: Path) -> None:
    (tmp_path / "script with long name.sql").write_text("SELECT 'other';\n")
    (tmp_path / "prepared.sql").write_text("SELECT 'from the script';\n")
    with start(path) as shell:
        shell.expect(PROMPT)
        for typed, completed in (
            ("SELECT destin\t", "destination"),
            (" FROM vis\t", "visits"),
            (" WHERE visits.destin\t", "visits.destination"),
        ):
            shell.send(typed)
            shell.expect(completed)
        shell.line(" = 'home' LIMI\t 1;")
        shell.expect("| home        |")
        shell.expect(PROMPT)
        shell.line("selec\t 'lower' as a;")
        shell.expect("select ")
        shell.expect("| lower |")
        shell.expect(PROMPT)
        shell.line(f".rea\t {tmp_path}/prep\t")
        shell.expect(".read ")
        shell.expect("prepared.sql")
        shell.expect("| from the script ")
        shell.expect(PROMPT)
        shell.line(".mode mark\t")
        shell.expect("markdown")
        shell.expect(PROMPT)
        shell.line(".sche\t vis\t")
        shell.expect("CREATE TABLE visits (who TEXT, destination TEXT);")
        shell.line(".quit")
        assert shell.end() == 0


def test_completion_does_not_need_an_open_database(start: Start, path: Path) -> None:
    with start(path, "--no-key") as shell:
        shell.expect(LOCKED)
        shell.line("SELEC\t vis\t;")
        shell.expect("SELECT vis;")
        shell.expect("Error: ")
        shell.expect(LOCKED)
        shell.line(".quit")
        assert shell.end() == 0


def test_the_history_never_stores_keys(start: Start, path: Path, tmp_path: Path) -> None:
    secrets = [
        "PRAGMA lumo_key = 'secret0';",
        "PRAGMA lumo_key =\n'secret1';",
        "SELECT 1; PRAGMA lumo_rekey('secret2' oops);",
        f"ATTACH 'file:{tmp_path}/x.db?lumo_key=secret3' AS x;",
        f"ATTACH '{tmp_path}/y.db' AS y KEY 'secret4';",
        f"SELECT {HEX};",
        ".lumo-key secret5",
        ".lumo_key secret6",
    ]
    with start(path) as shell:
        shell.expect(PROMPT)
        for text in ["SELECT 'kept 1';", *secrets, "SELECT\n'kept 2';", ".show"]:
            for line in text.split("\n"):
                shell.line(line)
                shell.expect("> ")
        # Begun and given up: it may have been the beginning of anything.
        shell.line("SELECT 'secret7'")
        shell.expect(MORE)
        shell.interrupt()
        shell.expect(PROMPT)
        # What was not stored does not come back with the arrow up either.
        shell.send("\x1b[A\x1b[A\x1b[A\x1b[A")
        shell.expect("SELECT 'kept 1';")
        shell.interrupt()
        shell.expect(PROMPT)
        shell.line(".quit")
        assert shell.end() == 0
    file = history(tmp_path)
    assert file.read_text() == "SELECT 'kept 1';\nSELECT\n'kept 2';\n.show\n.quit\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    file.chmod(0o644)
    with start(path) as shell:
        shell.expect(PROMPT)
        # The last that was typed is .quit.
        shell.send("\x1b[A\x1b[A\x1b[A")
        shell.expect("'kept 2';")
        shell.interrupt()
        shell.expect(PROMPT)
        shell.line(".quit")
        assert shell.end() == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_no_history(start: Start, path: Path, tmp_path: Path) -> None:
    with start(path, "--no-history") as shell:
        shell.expect(PROMPT)
        shell.line("SELECT 1;")
        shell.expect(PROMPT)
        shell.line(".quit")
        assert shell.end() == 0
    assert not history(tmp_path).exists()
    # A folder that cannot be used is said, and no reason to stop.
    with start(path, XDG_STATE_HOME="/dev/null/nowhere") as shell:
        shell.expect("no history is kept")
        shell.expect(PROMPT)
        shell.line(".quit")
        assert shell.end() == 0


def test_a_long_history_is_cut(start: Start, path: Path, tmp_path: Path) -> None:
    file = history(tmp_path)
    file.parent.mkdir(parents=True)
    file.write_text("".join(f"SELECT {number};\n" for number in range(2001)))
    with start(path) as shell:
        shell.expect(PROMPT)
        shell.line(".quit")
        assert shell.end() == 0
    lines = file.read_text().splitlines()
    assert (len(lines), lines[0], lines[-1]) == (1001, "SELECT 1001;", ".quit")


# Signals


def test_ctrl_c(start: Start, path: Path) -> None:
    with start(path) as shell:
        shell.expect(PROMPT)
        shell.line("SELECT 'begun")
        shell.expect(MORE)
        shell.interrupt()
        shell.expect(PROMPT)
        shell.send("SELECT 'half a line")
        shell.expect("half a line")
        shell.interrupt()
        shell.expect(PROMPT)
        shell.line(ENDLESS)
        shell.expect("count(*) FROM n;\r\n")
        shell.interrupt()
        shell.expect("Error: interrupted")
        shell.expect(PROMPT)
        # The rest of the line is not run.
        shell.line(f"BEGIN; {ENDLESS} SELECT 'never';")
        shell.interrupt()
        shell.expect("Error: interrupted")
        shell.expect("lumocrypt (transaction)> ")
        shell.line("ROLLBACK; SELECT who FROM visits;")
        shell.expect("| me  |")
        shell.line(".quit")
        assert shell.end() == 0
        assert "| never" not in shell.seen


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("busy", [False, True])
def test_other_signals_end_it(start: Start, path: Path, number: signal.Signals, busy: bool) -> None:
    with start(path) as shell:
        shell.expect(PROMPT)
        if busy:
            shell.line(ENDLESS)
            shell.expect("FROM n;\r\n")
        # CPython's readline notices a signal only once it waits for a key, an instant after the prompt.
        time.sleep(0.5)
        shell.process.send_signal(number)
        assert shell.end() == 1
        assert "Traceback" not in shell.seen


# Colour


def test_colour(start: Start, path: Path) -> None:
    script = ["SELECT NULL AS heading;", "SELECT nowt;", ".quit"]
    for settings, coloured in (
        ({"NO_COLOR": ""}, True),
        ({"NO_COLOR": "1"}, False),
        ({"NO_COLOR": "", "TERM": "dumb"}, False),
    ):
        with start(path, **settings) as shell:
            for line in script:
                shell.expect(PROMPT)
                shell.line(line)
            assert shell.end() == 0
        assert ("\x1b[36mlumocrypt> \x1b[0m" in shell.seen) is coloured
        assert ("\x1b[1mheading\x1b[0m" in shell.seen) is coloured
        assert ("\x1b[31mError:\x1b[0m" in shell.seen) is coloured
        assert coloured or "m" not in {after[-1:] for after in shell.seen.split(COLOUR)[1:]}


def test_data_cannot_act_on_the_terminal(start: Start, path: Path) -> None:
    """In no mode, nor as a name or in an error."""
    modes = ("table", "list", "csv", "json", "line", "insert")
    evil = "char(27) || ']0;owned' || char(7) || char(155)"
    with start(path) as shell:
        for line in (
            *(f".mode {mode}\nSELECT {evil} AS a;" for mode in modes),
            "CREATE TABLE evil (a); " + f"INSERT INTO evil VALUES ({evil});",
            ".dump evil",
        ):  # fmt: skip
            for one in line.split("\n"):
                shell.expect(PROMPT)
                shell.line(one)
        shell.expect(PROMPT)
        shell.line(".quit")
        assert shell.end() == 0
    assert "\x1b]0;owned" not in shell.raw
    assert "owned\x07" not in shell.raw
    assert "\x9b" not in shell.raw
    assert "owned" in shell.seen
