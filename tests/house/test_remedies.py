"""Every remedy that a message or the runbook names: it is a real command line, and a test follows it."""

from __future__ import annotations

import argparse
import ast
import re
import shlex
from typing import Any

import pytest

import weir.cli
from tests.faults.catalogue import CATALOGUE
from tests.faults.runs import load_catalogue
from tests.house.remedies import DOCS, collect, targets
from tests.house.source import ROOT, name_of, product_files

REMEDIES = collect()

# command -> the test, or the fault, that runs it from the state in which it is named
OFFSETS = "tests/integration/test_offsets_moved.py"
TRAINING = "tests/unit/training/test_cli.py"
FOLLOWED = "tests/integration/test_remedies.py"
REPLAY = "tests/integration/test_dlq_replay.py"
ARCHIVE = "tests/integration/test_archive.py"
EVIDENCE = "tests/unit/archive/test_evidence_page.py"
EMBEDDED = "tests/integration/test_embedded.py"
SPACE = "tests/unit/infra/test_space.py"
KEYS = "tests/unit/access/test_cli.py::test_a_key_is_made_shown_rotated_and_revoked"
CASES = "tests/unit/cases/test_cli.py::test_a_case_is_listed_shown_claimed_noted_released_and_decided"
PROPOSED = (
    "tests/unit/inference/published/test_commands.py::"
    "test_what_needs_two_people_is_proposed_listed_and_approved_or_rejected"
)
NEXT_VIEW = "tests/integration/test_next_view.py::test_processors_change_over_to_a_view_that_is_there_already_and_back"
MODELS = "tests/unit/training/choosing/test_commands.py"
TESTS: dict[str, str] = {
    "weir models canary VERSION --share 5% --why WHY": (
        f"{MODELS}::test_a_canary_is_published_with_its_share_and_ends_when_a_model_is_promoted"
    ),
    "weir models rollback --alias canary --why WHY": (
        f"{MODELS}::test_a_canary_passes_the_gates_stands_next_to_a_champion_and_is_rolled_back_alone"
    ),
    "weir models rollback --alias shadow --why WHY": (
        f"{MODELS}::test_a_shadow_has_a_history_of_its_own_and_ends_with_none"
    ),
    "weir models rollback --why WHY": f"{MODELS}::test_the_first_promotion_takes_over_what_the_champion_link_names",
    "weir models promote 1 --why WHY": f"{MODELS}::test_the_first_promotion_takes_over_what_the_champion_link_names",
    "weir redteam --bundle FOLDER --record": (
        "tests/unit/test_redteam.py::"
        "test_a_play_is_kept_in_the_bundle_where_that_is_asked_for_and_not_of_some_scenarios_alone"
    ),
    "weir redteam --in-force --bundle FOLDER --record": (
        "tests/unit/test_redteam.py::test_both_models_are_played_past_what_is_in_force_and_no_model_twice"
    ),
    "weir models sync": (
        "tests/unit/training/model_registry/test_registry.py::"
        "test_everything_continues_when_mlflow_is_away_and_a_sync_moves_the_alias_later"
    ),
    "weir models sync --share 5%": (
        "tests/unit/training/model_registry/test_registry.py::"
        "test_a_canary_that_is_named_in_mlflow_is_started_after_its_gates_for_the_share_that_is_given"
    ),
    "weir up --with mlflow": (
        "tests/integration/test_embedded.py::"
        "test_the_page_of_mlflow_is_a_server_that_is_asked_for_on_the_loopback_alone"
    ),
    "weir models watch": f"{MODELS}::test_the_guard_rolls_a_canary_back_by_an_act_that_says_why",
    "weir quality": (
        "tests/unit/test_quality.py::test_it_tells_each_day_with_its_interval_as_a_table_as_json_and_as_a_page"
    ),
    "weir monitor": "tests/unit/test_monitor.py::test_a_shift_is_named_and_the_exit_code_is_1",
    "weir models list": ("tests/unit/training/choosing/test_commands.py::test_the_list_says_what_each_bundle_is_now"),
    "weir offsets recover": f"{OFFSETS}::test_what_was_folded_past_the_outputs_is_refused_and_recovered_in_one_step",
    "weir offsets recover --apply": f"{OFFSETS}::test_offsets_moved_back_are_refused_though_redis_was_wiped",
    "weir offsets recover --skip-expired --apply": (
        f"{FOLLOWED}::test_records_that_expired_undecided_are_skipped_and_the_view_is_rebuilt"
    ),
    "weir keys create NAME --scopes admin": KEYS,
    "weir keys list": KEYS,
    "weir restore FILE": (
        "tests/unit/test_backup.py::test_what_is_put_back_is_what_was_there_and_nobody_else_reads_it"
    ),
    "weir restore FILE --apply": (
        "tests/integration/test_restore.py::test_a_machine_is_lost_and_cases_keys_and_the_audit_log_are_not"
    ),
    "weir gdpr again --apply": (
        "tests/integration/test_restore.py::test_a_machine_is_lost_and_cases_keys_and_the_audit_log_are_not"
    ),
    "weir rules approve ID --why WHY": PROPOSED,
    "weir lists approve ID --why WHY": PROPOSED,
    "weir cases list": CASES,
    "weir gdpr check": "tests/integration/test_gdpr.py::test_who_asks_is_erased_in_every_store_and_the_stream_runs_on",
    "weir cases follow": "tests/integration/test_cases_live.py::"
    "test_a_review_is_a_case_and_its_verdict_moves_the_risk_of_the_shop",
    "weir offsets show": (
        f"{OFFSETS}::test_offsets_moved_forward_are_refused_with_their_count_before_anything_is_folded"
    ),
    "weir offsets drop-view": f"{FOLLOWED}::test_records_that_expired_undecided_are_skipped_and_the_view_is_rebuilt",
    "weir offsets drop-view --apply": (
        f"{FOLLOWED}::test_records_that_expired_undecided_are_skipped_and_the_view_is_rebuilt"
    ),
    "weir features cut-over NEW": NEXT_VIEW,
    "weir features drop OLD --apply": NEXT_VIEW,
    "weir process --accept-offsets": f"{FOLLOWED}::test_deleted_outputs_are_accepted_and_nothing_is_decided_again",
    "weir score --accept-offsets": f"{FOLLOWED}::test_deleted_outputs_are_accepted_and_nothing_is_decided_again",
    "weir run": "tests/integration/test_run.py::test_it_begins_when_what_was_made_before_is_decided",
    "weir score": "tests/integration/test_run.py::test_it_begins_when_what_was_made_before_is_decided",
    "weir topics check": f"{FOLLOWED}::test_a_topic_that_forgets_too_early_is_repaired",
    "weir topics repair": f"{FOLLOWED}::test_a_topic_that_forgets_too_early_is_repaired",
    "weir topics repair --apply": f"{FOLLOWED}::test_a_topic_that_forgets_too_early_is_repaired",
    "weir topics create": f"{FOLLOWED}::test_missing_topics_and_missing_partitions_are_made",
    "weir schemas register": "tests/integration/test_schema_remedies.py::test_an_empty_subject_is_registered",
    "weir schemas check": "tests/integration/test_schema_remedies.py::test_an_empty_subject_is_registered",
    "weir dlq auto": f"{REPLAY}::test_the_automatic_replayer_waits_heals_and_parks",
    "weir dlq list": (
        "tests/integration/test_views.py::test_dead_letters_are_listed_by_time_and_repeats_do_not_hide_the_others"
    ),
    "weir dlq list --all": (
        "tests/integration/test_views.py::test_dead_letters_are_listed_by_time_and_repeats_do_not_hide_the_others"
    ),
    "weir dlq replay --reason unknown_schema_id --apply": (
        "tests/integration/test_exactly_once.py::"
        "test_a_verdict_stands_though_its_cause_is_repaired_and_a_replay_counts_and_decides_once"
    ),
    "weir dlq replay --reason not_examined --apply": (
        f"{REPLAY}::test_a_replayed_record_is_the_original_with_a_count_in_its_partition"
    ),
    "weir archive drop-damaged": "tests/unit/archive/test_losing.py::"
    "test_what_is_dropped_is_recorded_and_everything_else_is_proved_and_read",
    "weir archive erase": f"{EVIDENCE}::test_every_block_of_the_page_does_what_it_says",
    "weir evidence verify": f"{EVIDENCE}::test_every_block_of_the_page_does_what_it_says",
    "weir archive": f"{ARCHIVE}::test_every_committed_record_of_every_topic_has_one_row",
    "weir archive optimize": f"{ARCHIVE}::test_the_command_archives_joins_and_says_how_it_stands",
    "weir archive --accept-loss": (
        f"{ARCHIVE}::test_a_log_that_forgot_what_is_not_archived_refuses_the_start_and_the_flag_continues"
    ),
    "weir publish FILE": ("tests/integration/test_generate.py::test_a_users_file_is_published_but_for_its_bad_lines"),
    "weir dlq replay --hook FILE.py:FUNCTION": (
        "tests/unit/streaming/test_dlq_repair.py::test_the_hook_of_the_runbook_keys_a_payment_by_its_card"
    ),
    "weir dlq replay --set FIELD=VALUE": (
        f"{REPLAY}::test_a_dead_letter_is_shown_decoded_repaired_by_field_and_rekeyed_by_its_new_card"
    ),
    "weir dlq replay": f"{REPLAY}::test_a_replayed_record_is_the_original_with_a_count_in_its_partition",
    "weir dlq discard": f"{REPLAY}::test_a_discarded_letter_is_settled_and_still_there",
    "weir dlq show": f"{REPLAY}::test_list_show_and_stats_tell_what_is_there",
    "weir dlq show --reason REASON --limit 5": (f"{REPLAY}::test_list_show_and_stats_tell_what_is_there"),
    "weir dlq stats": f"{REPLAY}::test_list_show_and_stats_tell_what_is_there",
    "weir inspect decision ID": (
        "tests/integration/test_inspect.py::test_an_event_that_is_a_dead_letter_is_told_as_one_with_its_reason"
    ),
    "weir inspect decision --stream 1 ID": (
        "tests/integration/test_inspect.py::test_an_event_that_is_a_dead_letter_is_told_as_one_with_its_reason"
    ),
    "weir inspect lag": (
        "tests/integration/test_inspect.py::test_the_lag_of_every_stage_is_shown_before_anything_was_committed"
    ),
    "weir inspect card": "tests/integration/test_inspect.py::test_a_card_never_seen_is_shown_as_such",
    "weir inspect model": "tests/integration/test_inspect.py::test_the_model_in_force_is_shown",
    "weir inspect stream": (
        "tests/integration/test_views.py::test_the_last_decisions_are_shown_in_order_with_latency_reasons_and_amount"
    ),
    "weir init DIR": "tests/unit/test_init.py::test_what_is_made_passes_the_check_and_is_the_shipped_stream",
    "weir check --accept": "tests/unit/test_check.py::test_a_change_is_told_until_it_is_accepted",
    "weir status": f"{EMBEDDED}::test_the_servers_run_in_a_home_of_any_path_under_any_locale",
    "weir up": f"{EMBEDDED}::test_the_servers_run_in_a_home_of_any_path_under_any_locale",
    "weir down": f"{EMBEDDED}::test_the_servers_run_in_a_home_of_any_path_under_any_locale",
    "weir down --home 1": (
        f"{EMBEDDED}::test_a_port_held_by_servers_of_another_home_is_freed_by_the_command_that_is_named"
    ),
    "weir up --other-ports": f"{EMBEDDED}::test_the_fix_that_a_taken_port_names_works_while_the_other_servers_run",
    "weir doctor": f"{SPACE}::test_the_doctor_says_what_takes_the_space_of_a_full_disk",
    "weir clean": f"{SPACE}::test_without_apply_nothing_is_changed_and_the_loss_is_named",
    "weir clean --apply": f"{SPACE}::test_the_fix_for_a_full_disk_frees_space_and_loses_nothing",
    "weir clean --data": f"{SPACE}::test_without_apply_nothing_is_changed_and_the_loss_is_named",
    "weir clean --data --apply": f"{SPACE}::test_with_data_and_apply_what_weir_made_goes_and_files_of_others_stay",
    "make demo": (
        "tests/unit/test_demo.py::test_a_refusal_because_of_servers_by_hand_names_a_command_that_destroys_nothing"
    ),
    "make peers": "tests/integration/test_sessions.py::test_without_faust_the_command_names_what_brings_it",
    "make setup": f"{SPACE}::test_make_setup_repairs_an_environment_whose_stamp_is_there",
    "make PYTHON=python3.11 setup": f"{SPACE}::test_make_setup_takes_the_python_that_it_is_told_to_take",
    "weir features docs > docs/features.md": (
        "tests/unit/streaming/test_features_cli.py::test_docs_are_the_page_that_is_checked_in"
    ),
    "weir train --defaults": "tests/unit/training/search/test_run.py::test_the_defaults_are_printed_as_a_file",
    "weir train --config FILE": (
        "tests/unit/training/search/test_study.py::test_a_search_that_is_killed_in_a_trial_ends_as_one_that_was_not"
    ),
    "weir train": f"{TRAINING}::test_a_run_prints_its_figures_as_json_and_makes_its_bundle_the_champion",
    "make train": f"{TRAINING}::test_a_run_prints_its_figures_as_json_and_makes_its_bundle_the_champion",
    "weir process": (
        "tests/integration/test_train_topics.py::test_topics_without_rows_are_refused_and_the_mend_is_named"
    ),
    "weir generate --to parquet": (
        "tests/integration/test_generate.py::test_a_history_goes_through_the_topics_with_its_own_times_and_its_labels"
    ),
    "weir generate --to parquet --out DIR": (
        "tests/integration/test_generate.py::test_a_history_goes_through_the_topics_with_its_own_times_and_its_labels"
    ),
}
# they measure, show or delete on purpose; none of them is the fix of anything
NO_REMEDY = {
    "weir check",
    "weir init",
    "weir features docs --stream NAME",
    "weir --help",
    "weir bench",
    "weir logs kafka",
    "weir publish",
    "weir serve",
    "make bench",
    "make bench-quick",
    "make bench ROUNDS=5",
    "make bench-pyflink",
    "make past-page",
    "make picture",
    "make demo DURATION=30",
    "make clean",
    "make coverage",
    "make docs",
    "make faults",
    "make test",
    "make test-browser",
    "make test-long",
    "make test-verify",
    "make verify",
    'make faults KILLS=40 SEED="1 2 3" JOBS=4',
    "make demo DURATION=0",
}
# tools of Kafka, named next to our own command or for what we leave to an operator
OUTSIDE = {"kafka-configs", "kafka-topics"}


class _Parsed(Exception):
    """The command line was understood; nothing is run."""


@pytest.fixture
def _parse_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    parse = argparse.ArgumentParser.parse_args

    def parse_and_stop(*given: Any, **named: Any) -> None:
        parse(*given, **named)
        raise _Parsed

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_and_stop)


COMPLETE = {
    "weir inspect card": "weir inspect card CARD",
    "weir publish": "weir publish FILE",
    "weir init": "weir init DIR --like payments",
}
"""Named without what it is about."""
NO_COMMAND = {"weir --help", "weir 1 1"}
"""No verb, and what a message fills in as a whole."""
OURS = sorted(command for command in REMEDIES if command.startswith("weir ") and command not in NO_COMMAND)


@pytest.mark.usefixtures("_parse_alone")
@pytest.mark.parametrize("command", OURS)
def test_a_command_that_is_named_is_a_real_command_line(command: str) -> None:
    words = shlex.split(COMPLETE.get(command, command).partition(" > ")[0])[1:]
    assert words[0] in weir.cli.VERBS, f"{command} is named in {REMEDIES[command]}"
    with pytest.raises(_Parsed):
        weir.cli.main(words)


@pytest.mark.parametrize("command", [command for command in REMEDIES if command.startswith("make ")])
def test_a_target_that_is_named_exists(command: str) -> None:
    named = [word for word in shlex.split(command)[1:] if "=" not in word]
    assert set(named) <= targets()
    assert named


def test_there_are_commands_to_check() -> None:
    assert len(REMEDIES) > 50
    assert "infra/embedded/doctor.py" in REMEDIES["weir clean --apply"]
    assert "docs/operations.md" in REMEDIES["weir offsets recover"]


def test_every_command_that_is_named_is_followed_by_a_test() -> None:
    named = {command for command in REMEDIES if command.split()[0] not in OUTSIDE and command not in NO_COMMAND}
    assert named - set(TESTS) - NO_REMEDY == set()
    assert set(TESTS) - named == set()  # what is named nowhere any more needs no row


def test_every_test_that_follows_a_command_exists() -> None:
    load_catalogue()
    for where in TESTS.values():
        path, _, name = where.partition("::")
        if not name:
            assert path in CATALOGUE
            continue
        body = ast.parse((ROOT / path).read_text()).body
        assert name in {node.name for node in body if isinstance(node, ast.FunctionDef)}, where


def test_no_message_names_a_package_that_is_not_ours() -> None:
    """The project is not in any package index; a package of its name there is somebody else's."""
    assert [name_of(p) for p in product_files() if re.search(r"pip install ['\"]?weir", p.read_text())] == []


def test_no_fix_that_a_message_names_deletes_data_without_saying_so() -> None:
    for command, places in REMEDIES.items():
        if "--data" in command or command.startswith("make clean-data"):
            assert places <= {"infra/embedded/clean.py", *DOCS}, f"{places} name `{command}`"
