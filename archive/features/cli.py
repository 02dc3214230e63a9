"""``weir features``: all of its actions; those on files alone are ``streaming/features_cli.py``'s."""

from __future__ import annotations

from weir.streaming import features_cli


def main(argv: list[str]) -> int:
    """Run the verb. Exit codes: 0 done, 2 refused or misused."""
    parser, _ = features_cli.build_parser()
    arguments = parser.parse_args(argv[1:])
    if arguments.action == "backfill" and arguments.archive is not None:
        # only what reads an archive loads what reads it
        from weir.archive.features.backfill import run_backfill  # noqa: PLC0415

        return run_backfill(arguments)
    if arguments.action == "backfill" and arguments.stream:
        parser.error("expected --stream with --from: files are of the payments")
    return features_cli.run(arguments)
