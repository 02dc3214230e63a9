"""Events of any declared stream, made up by a profile: for each field, how its values are distributed.

In reading order: ``distributions`` (values of one field), ``profile`` (``generator.toml``), ``defaults`` (a field that
no profile names), ``draw`` (whole events), ``live`` (blocks to be sent, with what goes wrong on purpose).
"""
