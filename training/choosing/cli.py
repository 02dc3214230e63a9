"""``weir models``: which models there are, which one decides, and how another one comes to.

What decides is published, as rules are: every process takes it over within five seconds, between two batches. Results
go to stdout. Exit codes: 0 done or shown, 1 the answer is no, 2 refused or misused: nothing was published then.
"""

from __future__ import annotations

import argparse
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from weir.inference.published import bundles
from weir.inference.published.act import ALIASES, NONE, Alias
from weir.inference.published.author import add_force_flag, check_said, find_user, may_publish
from weir.inference.published.canary_text import SHARE_MAX, CanaryText, parse_share
from weir.inference.published.gate import Gate
from weir.inference.published.publish import Publisher
from weir.inference.published.view import show_act, show_history, show_unpublished
from weir.inference.rule_sets import read_rules
from weir.infra.arguments import Parser, add_stream_flag
from weir.infra.settings import Settings, load_settings
from weir.monitoring import logs
from weir.schemas.errors import Refused, Transient
from weir.schemas.project import find_stream, load_gate_bounds
from weir.training.choosing import view
from weir.training.choosing.publishing import promote, publish_bundle, take_back
from weir.training.gates.archived import Archive
from weir.training.gates.card import write_gates
from weir.training.model_registry.aliases import PUBLISHED_AS
from weir.training.source_flags import add_source_flags

Command = Callable[[argparse.Namespace, Publisher], int]


def main(argv: list[str], archive: Archive) -> int:
    """Run ``weir models``."""
    arguments = build_parser().parse_args(argv[1:])
    settings = load_settings().of_stream(find_stream(Path.cwd(), arguments.stream))
    logs.configure("warning", settings.monitoring.log_format, "models")
    who, why = getattr(arguments, "who", ""), getattr(arguments, "why", "")
    if hasattr(arguments, "who"):
        who = who or find_user()
        check_said(who, why or "watched")
    arguments.settings, arguments.archive = settings, archive
    command: Command = arguments.command
    if command is _import:  # it needs no broker
        return _import(arguments)
    with Publisher(settings, read_rules, who=who, why=why) as publisher:
        return command(arguments, publisher)


def build_parser() -> argparse.ArgumentParser:
    """Return the commands."""
    parser = Parser(prog="weir models", description="The models of a stream: what there is, and which one decides.")
    actions: dict[str, tuple[Command, str]] = {
        "list": (_list, "every bundle that is here or was published, and which one decides"),
        "show": (_show, "what a bundle says of itself; by default the one that decides"),
        "history": (_history, "every model that was published: who, when and why"),
        "stage": (_promote, "have a bundle scored next to what decides, before it is promoted"),
        "promote": (_promote, "have a bundle decide, or with --alias shadow be scored next to what decides"),
        "canary": (_canary, "have a bundle decide for a share of the keys, and roll it back when a guard says so"),
        "watch": (_watch, "watch the canary in force until it is ended, and roll it back when a guard says so"),
        "check": (_check, "run the gates of a promotion, and publish nothing"),
        "compare": (_compare, "two bundles on the same labelled rows, later than what taught them"),
        "import": (_import, "make a bundle of an ONNX graph, LightGBM trees, or a bundle's folder"),
        "rollback": (_roll_back, "put the model before in force again, or the one that is named"),
        "sync": (_sync, "publish what was moved in MLflow, after its gates, and move its aliases to what is published"),
    }
    verbs = parser.add_subparsers(required=True, metavar="|".join(actions))
    for name, (command, text) in actions.items():
        verb = verbs.add_parser(name, help=text, description=text)
        verb.set_defaults(command=command)
        add_stream_flag(verb)
        verb.add_argument("--json", action="store_true", help="JSON on stdout")
        _add_arguments(verb, name)
    return parser


def _add_arguments(verb: argparse.ArgumentParser, name: str) -> None:
    _add_bundle_arguments(verb, name)
    if name in {"promote", "rollback", "history"}:
        text = (
            "what it is about: the model that decides, one that only scores, or one for some keys (default: champion)"
        )
        choices = [alias for alias in ALIASES if alias != "canary" or name != "promote"]
        verb.add_argument("--alias", choices=choices, default="champion", help=text)
    if name == "import":
        _add_import_arguments(verb)
    if name in {"canary", "watch"}:
        _add_canary_arguments(verb, name)
    if name in {"stage", "promote", "canary", "rollback", "watch", "sync"}:
        _add_author_arguments(verb, name)
    if name in {"stage", "promote", "canary", "check", "compare", "sync"}:
        add_source_flags(verb)


def _add_bundle_arguments(verb: argparse.ArgumentParser, name: str) -> None:
    of_bundle = "a version, a folder's name, the beginning of a content hash, or an alias; `weir models list`"
    if name == "show":
        verb.add_argument("bundle", metavar="BUNDLE", nargs="?", default="champion", help=of_bundle)
    if name in {"stage", "promote", "canary", "check", "compare"}:
        verb.add_argument("bundle", metavar="BUNDLE", help=of_bundle)
    if name == "stage":
        verb.set_defaults(alias="shadow")
    if name == "compare":
        verb.add_argument("other", metavar="OTHER", nargs="?", default="champion", help="(default: what decides)")
    if name == "rollback":
        text = "that was published; `none` for what is not published (default: the one before)"
        verb.add_argument("version", metavar="VERSION", nargs="?", default="", help=text)
    if name == "sync":
        text = "publish nothing, and put each alias back to what is published"
        verb.add_argument("--put-back", action="store_true", help=text)
        text = f"of the keys, such as 5%%, up to {SHARE_MAX:.0%}%: start the canary that MLflow names (default: none)"
        verb.add_argument("--share", type=parse_share, metavar="SHARE", help=text)


def _add_canary_arguments(verb: argparse.ArgumentParser, name: str) -> None:
    if name == "canary":
        text = f"of the keys, such as 5%%, up to {SHARE_MAX:.0%}%"
        verb.add_argument("--share", type=parse_share, required=True, metavar="SHARE", help=text)
        text = "publish it and return; `weir models watch` watches it"
        verb.add_argument("--no-watch", action="store_true", help=text)
    text = "roll back when it declines more than the champion, by more percentage points (default: settings)"
    verb.add_argument("--max-declined-points", type=float, metavar="POINTS", help=text)


def _add_import_arguments(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("file", metavar="FILE", type=Path, help="an ONNX graph, trees of save_model, or a folder")
    verb.add_argument("--name", help="of the model (default: of the file)")
    verb.add_argument("--version", default="", help="of the bundle (default: the time)")
    text = "names of the columns, one a line (default: those of the trees, or all of the stream)"
    verb.add_argument("--features", metavar="FILE", type=Path, help=text)
    verb.add_argument("--output", default="", metavar="NAME", help="of the graph: P(fraud)")
    verb.add_argument("--column", type=int, metavar="N", help="of that output, from 0 (default: 1 of two)")
    verb.add_argument("--review", type=float, default=0.5, help="threshold (default: %(default)s)")
    verb.add_argument("--decline", type=float, default=0.9, help="threshold (default: %(default)s)")


def _add_author_arguments(verb: argparse.ArgumentParser, name: str) -> None:
    if name in {"stage", "promote", "canary", "sync"}:
        add_force_flag(verb)
    if name == "sync":
        verb.add_argument("--why", default="moved in MLflow", help="for who reads the history (default: %(default)s)")
    elif name != "watch":
        verb.add_argument("--why", required=True, help="for who reads the history")
    verb.add_argument("--who", default="", help="who publishes (default: this machine's user)")


def _list(arguments: argparse.Namespace, publisher: Publisher) -> int:
    view.show_list(bundles.list_all(arguments.settings, publisher), as_json=arguments.json)
    return 0


def _show(arguments: argparse.Namespace, publisher: Publisher) -> int:
    settings, name = arguments.settings, PUBLISHED_AS.get(arguments.bundle, arguments.bundle)
    if name in ALIASES and bundles.find_role(settings, publisher, name) is None:
        show_unpublished(name, settings.stream, as_json=arguments.json)
        return 0
    content = _find(settings, publisher, name).content
    (chosen,) = [each for each in bundles.list_all(settings, publisher) if each.content == content]
    view.show_one(chosen, as_json=arguments.json)
    return 0


def _history(arguments: argparse.Namespace, publisher: Publisher) -> int:
    alias: Alias = arguments.alias
    in_force = publisher.standing.content(alias)
    show_history(publisher.log.history(alias), in_force, publisher.refused, as_json=arguments.json)
    return 0


def _import(arguments: argparse.Namespace, _: Publisher | None = None) -> int:
    from weir.training.choosing.imports import Wanted, import_model  # noqa: PLC0415 - onnxruntime and more

    names = tuple(arguments.features.read_text(encoding="utf-8").split()) if arguments.features else ()
    wanted = Wanted(
        name=arguments.name or arguments.file.stem,
        version=arguments.version,
        features=names,
        output=arguments.output,
        column=arguments.column,
        review=arguments.review,
        decline=arguments.decline,
    )
    made = import_model(arguments.file, wanted, arguments.settings)
    view.show_imported(made.bundle, rows=made.rows, parity=made.parity, as_json=arguments.json)
    return 0


def _promote(arguments: argparse.Namespace, publisher: Publisher) -> int:
    settings, alias = arguments.settings, arguments.alias
    chosen = _find(settings, publisher, arguments.bundle)
    if publisher.standing.content(alias) == chosen.content:
        raise Refused(f"expected another bundle than the {alias} that is in force, found {chosen.manifest.version}")
    if not _pass_gates(arguments, publisher, chosen):
        return 1
    archive = arguments.archive
    if alias == "champion":
        acts = promote(settings, publisher, chosen, archive)
    else:
        acts = [publish_bundle(settings, publisher, alias, chosen, chosen.text, archive)]
    for act in acts:
        show_act(act, as_json=arguments.json)
    return 0


def _pass_gates(arguments: argparse.Namespace, publisher: Publisher, chosen: bundles.Listed) -> bool:
    """Show the gates; False when one is not passed and nothing forces it, which is written into the reason."""
    gates = _show_gates(arguments, publisher, chosen)
    failed = [gate for gate in gates if not gate.passed]
    passed = may_publish(publisher, [gate.name for gate in failed], arguments.force)
    if not passed:
        view.tell_not_promoted(len(failed))
    return passed


def _show_gates(arguments: argparse.Namespace, publisher: Publisher, chosen: bundles.Listed) -> list[Gate]:
    """Run the gates, show them, and write them into the model card."""
    gates = _run_gates(arguments, publisher, chosen)
    view.show_gates(gates, as_json=arguments.json)
    if chosen.folder is not None and getattr(arguments, "alias", "champion") != "shadow":
        champion = bundles.find_role(arguments.settings, publisher, "champion")
        try:
            write_gates(chosen.folder, gates, champion.manifest.version if champion else "", at_seconds=time.time())
        except OSError as error:  # models may be mounted to be read alone
            sys.stderr.write(f"the model card is as it was: {(error.strerror or str(error)).lower()}\n")
    return gates


def _check(arguments: argparse.Namespace, publisher: Publisher) -> int:
    chosen = _find(arguments.settings, publisher, arguments.bundle)
    return 0 if all(gate.passed for gate in _show_gates(arguments, publisher, chosen)) else 1


def _canary(arguments: argparse.Namespace, publisher: Publisher) -> int:
    if not _start_canary(arguments, publisher):
        return 1
    return 0 if arguments.no_watch else _watch(arguments, publisher)


def _start_canary(arguments: argparse.Namespace, publisher: Publisher) -> bool:
    """Publish a canary after its gates; False when one is not passed and nothing forces it."""
    settings = arguments.settings
    chosen = _find(settings, publisher, arguments.bundle)
    champion = bundles.find_role(settings, publisher, "champion")
    if champion is None or champion.content == chosen.content:
        found = "nothing that decides" if champion is None else "the model that decides already"
        raise Refused(f"expected a challenger next to a champion, found {found}; `weir models list`")
    if not _pass_gates(arguments, publisher, chosen):
        return False
    text = CanaryText(manifest=chosen.text, share=arguments.share, seed=uuid.uuid4().hex).model_dump_json()
    act = publish_bundle(settings, publisher, "canary", chosen, text, arguments.archive)
    show_act(act, as_json=arguments.json)
    return True


def _watch(arguments: argparse.Namespace, publisher: Publisher) -> int:
    from weir.training.choosing.watching import watch_canary  # noqa: PLC0415 - scipy, which only this needs

    settings, points = arguments.settings, arguments.max_declined_points
    most = settings.publishing.declined_points_max if points is None else points
    try:
        return watch_canary(settings, publisher, declined_points_max=most, as_json=arguments.json)
    except Transient as error:  # 1 says that it was rolled back
        raise Refused(str(error)) from error


def _run_gates(arguments: argparse.Namespace, publisher: Publisher, chosen: bundles.Listed) -> list[Gate]:
    try:
        from weir.training.gates import run as gating  # noqa: PLC0415 - scikit-learn and more, which only this needs
    except ModuleNotFoundError as error:  # an image for serving
        raise Refused(f"expected {error.name} for the gates, found none; promote where `weir train` runs") from None
    settings, challenger = arguments.settings, bundles.load(arguments.settings, chosen)
    bounds = load_gate_bounds(Path.cwd())
    if getattr(arguments, "alias", "") == "shadow":
        return gating.run_shadow_gates(challenger, bounds)
    champion = bundles.find_role(settings, publisher, "champion")
    cut = publisher.standing.thresholds
    return gating.run_gates(arguments, settings, challenger, champion, arguments.archive, cut, bounds)


def _compare(arguments: argparse.Namespace, publisher: Publisher) -> int:
    from weir.training.gates import run as gating  # noqa: PLC0415 - as above

    settings = arguments.settings
    chosen = [_find(arguments.settings, publisher, name) for name in (arguments.bundle, arguments.other)]
    loaded = [bundles.load(settings, each) for each in chosen]
    view.show_comparison(gating.compare(arguments, settings, *loaded), as_json=arguments.json)
    return 0


def _find(settings: Settings, publisher: Publisher, name: str) -> bundles.Listed:
    """Return a bundle by its alias or its name."""
    alias = PUBLISHED_AS.get(name, name)
    if alias not in ALIASES:
        return bundles.find_here(settings.models_dir, name)
    found = bundles.find_role(settings, publisher, alias)
    if found is None:
        raise Refused(f"expected a {name}, found none; `weir models list` shows what there is")
    return found


def _sync(arguments: argparse.Namespace, publisher: Publisher) -> int:
    from weir.training.model_registry.taking_over import sync  # noqa: PLC0415 - MLflow, which takes seconds

    def publish(alias: Alias, content: str) -> bool:
        arguments.alias, arguments.bundle = alias, content
        return _start_canary(arguments, publisher) if alias == "canary" else _promote(arguments, publisher) == 0

    try:
        return sync(
            arguments.settings,
            publisher,
            publish,
            has_share=arguments.share is not None,
            put_back=arguments.put_back,
            as_json=arguments.json,
        )
    except Transient as error:  # 1 says that an alias is left as it is
        raise Refused(str(error)) from error


def _roll_back(arguments: argparse.Namespace, publisher: Publisher) -> int:
    settings, alias = arguments.settings, arguments.alias
    if arguments.version:
        content = publisher.log.find(alias, arguments.version)
    elif alias == "canary":
        content = NONE  # a canary of before is over
    else:
        content = bundles.find_previous(publisher, alias)
    if publisher.standing.content(alias) == content:
        raise Refused(f"expected another version than what is in force, found {publisher.log.version(alias, content)}")
    show_act(take_back(settings, publisher, alias, content), as_json=arguments.json)
    return 0
