"""Django on an encrypted database: its SQLite backend is used as it is.

    python examples/django_site.py FOLDER

Django opens the database itself, by name, so the key is registered for the path before Django starts. Put
the two lines of `unlock_databases` into settings.py or into the `ready` method of your first app.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import django
from django.apps import AppConfig
from django.conf import settings
from django.core.management import call_command
from django.db import connection, models

import lumocrypt


def unlock_databases(path: Path, key: str) -> None:
    """Before the first connection."""
    lumocrypt.unlock(path, key)
    # strict: no plaintext database opens, or is made, in this process. Leave it out for a site that has both.
    lumocrypt.install(strict=True)


class Notes(AppConfig):
    """An app that is all in this file."""

    name = "__main__"
    label = "notes"
    path = str(Path(__file__).parent)


def configure(path: Path) -> None:
    """What settings.py has."""
    settings.configure(
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": path,
                "OPTIONS": {"init_command": "PRAGMA journal_mode=WAL", "transaction_mode": "IMMEDIATE"},
            }
        },
        INSTALLED_APPS=["__main__.Notes"],
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        USE_TZ=True,
    )
    django.setup()


def main(folder: Path) -> None:
    path = folder / "site.db"
    unlock_databases(path, "correct horse battery staple")
    configure(path)

    class Note(models.Model):
        body = models.TextField()

        class Meta:
            app_label = "notes"

    call_command("migrate", run_syncdb=True, verbosity=0)
    with connection.schema_editor() as editor:
        editor.create_model(Note)
    Note.objects.create(body="a private note")
    print("found:", Note.objects.get(body__contains="private").body)
    connection.close()
    print("on disk:", lumocrypt.info(path).cipher)

    lumocrypt.lock(path)
    try:
        Note.objects.count()
    except lumocrypt.KeyRequiredError as error:
        print("without the key:", type(error).__name__)
    except django.db.Error as error:
        # Django wraps the errors of sqlite3 in its own classes; ours is the cause.
        print("without the key:", type(error.__cause__).__name__)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(Path(temporary))
