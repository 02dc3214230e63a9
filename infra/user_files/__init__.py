"""The one way in for files of a user: opened, judged once as a file, then checked row by row.

``weir publish``, ``weir features backfill`` and ``weir train --history`` read through ``door.py`` and nothing else, so
a row that one of them refuses is refused by all, with the same line. In reading order: ``sources`` (what is opened),
``delimited``, ``json_lines`` and ``parquet_rows`` (rows with their numbers), ``header`` (are the columns there),
``survey`` (what a column as a whole says about its unit), ``columns`` and ``values`` (to the schema's types),
``plan`` and ``mapping`` (which column is which field), ``checker``, ``door``.
"""
