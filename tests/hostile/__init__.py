"""Files that somebody hostile made, put before every command and every public function.

:mod:`hostile.originals` makes sound databases and what lies beside them, :mod:`hostile.forgeries` changes
them as somebody without a key can, digests made right again included, :mod:`hostile.actions` is all that
reads a file. :mod:`hostile.conduct` says what may come of it: a result, or a documented error; in bounded
time and memory, and without an effect on the terminal. ``python -m hostile --minutes 10`` is the campaign.
"""
