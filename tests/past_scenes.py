"""What ``past_page.py`` runs: in order, what it is about, and the exit code that each command ends with."""

from __future__ import annotations

from typing import Final

FILES: Final = {
    "candidate.yaml": """rules:
  - name: testing_run
    why: a card that is tried with small amounts again and again
    owner: fraud-team
    when: card_event_count_5m >= 4 and card_small_ratio_1h >= 0.5
    then: DECLINE
    examples:
      - {values: {card_event_count_5m: 5, card_small_ratio_1h: 0.8}, hit: true}
      - {values: {card_event_count_5m: 5}, hit: false}
""",
    "wide.yaml": """rules:
  - name: second_payment
    why: a second payment within an hour
    when: card_event_count_1h >= 2
    then: DECLINE
""",
    "wrong.yaml": """rules:
  - name: testing_run
    why: a card that is tried with small amounts again and again
    when: card_event_count_5 >= 4 and (card_small_ratio_1h >= "half"
    then: DECLINE
""",
    "thresholds.json": '{"review": 0.3, "decline": 0.8}\n',
    "lists.json": '{"block": {"merchant": ["mer_00132"]}}\n',
}

CHANGED: Final = (', "MOTO"])', "])")
"""What of the declaration is replaced, and by what."""
Command = tuple[str, int]
SCENES: Final[tuple[tuple[str, str, tuple[Command, ...]], ...]] = (
    (
        "The archive",
        "Every record of the stream's topics, in Delta tables.",
        (
            ("weir up", 0),
            ("weir archive --until-caught-up", 0),
            ("weir archive optimize --today", 0),
            ("weir archive status", 0),
        ),
    ),
    (
        "A rule before it decides",
        "`candidate.yaml` has one rule with two examples; `wrong.yaml` has its name and two faults.",
        (
            ("cat candidate.yaml", 0),
            ("weir rules check candidate.yaml", 0),
            ("weir rules test candidate.yaml", 0),
            ("weir rules check wrong.yaml", 1),
            ("weir whatif --rules candidate.yaml --since 1d --by channel --html trial.html", 0),
            ("weir whatif --rules candidate.yaml --since 1d --where \"channel == 'ECOM'\" --json | head -c 600", 0),
            ("weir whatif --rules wide.yaml --since 1d --max-declined-points 0.5 | tail -4", 1),
            ("weir whatif --thresholds thresholds.json --since 1d", 0),
            ("weir whatif --lists lists.json --since 1d", 0),
        ),
    ),
    (
        "Publish and take back",
        "Each file is tried on the past first. The processes of a stream that runs take a version over within 5 s.",
        (
            ('weir rules publish wide.yaml --why "a second payment"', 2),
            ('weir rules publish candidate.yaml --why "card testing" --force "shown on the demo"', 0),
            ("weir rules show", 0),
            ("weir rules diff none candidate.yaml", 0),
            ('weir lists publish lists.json --why "one shop"', 2),
            ('weir lists add watch merchant mer_00132 --why "look for a week"', 0),
            ("weir lists show", 0),
            ('weir thresholds publish thresholds.json --why "fewer reviews"', 0),
            ('weir rules rollback none --why "back to the declaration"', 0),
            ('weir lists rollback none --why "seen enough"', 0),
            ('weir thresholds rollback none --why "back to those of the model"', 0),
            ("weir rules history", 0),
            ("weir thresholds history", 0),
            ("weir archive --until-caught-up", 0),
        ),
    ),
    (
        "A model",
        "Another model, of fewer trees, is trained and tried on the past. `$OLD` is the one before it.",
        (
            ("weir train --quick --trees 20 | tail -12", 0),
            ("weir models list", 0),
            ('weir models compare "$NEW" "$OLD"', 0),
            ('weir whatif --model "$NEW_FOLDER" --since 1d', 0),
            ('weir models promote "$NEW" --alias shadow --why "look at it first"', 0),
            ('weir models promote "$OLD" --why "more trees" --force "shown on the demo"', 0),
            ('weir models rollback none --why "back to the one before"', 0),
            ('weir models rollback none --alias shadow --why "seen enough"', 0),
            ("weir models history", 0),
        ),
    ),
    (
        "Answering for a decision",
        "From the archive alone: the servers are ended first. `$ID` is the last payment of a card that a script tried.",
        (
            ("weir down", 0),
            ('weir evidence "$ID"', 0),
            ('weir evidence "$ID" --json > evidence.json && python "$ROOT/archive/verify_proof.py" evidence.json', 0),
            ("weir evidence head", 0),
            ("weir evidence again --sample 10000", 0),
            ("weir evidence verify", 0),
        ),
    ),
    (
        "A card through time",
        "`$FROM` and `$TO` are ten seconds before and after the run.",
        (
            (
                """weir inspect card "$CARD" --at "$FROM" --until "$TO" --window card_event_count_5m \\
  --window card_small_ratio_1h --window card_declined_ratio_1h""",
                0,
            ),
            ('weir inspect card "$CARD" --at "$FROM" --until "$TO" --diff', 0),
        ),
    ),
    (
        "A changed feature",
        "Payments by mail or phone no longer count as online. The change is compared, built, and given up.",
        (
            ("diff payments.py changed.py", 1),
            ("weir features diff payments.py changed.py", 1),
            ("weir features backfill --from archive --stream changed.py --out features.parquet", 0),
            ("weir up", 0),
            ("weir features cut-over changed.py --until-ready", 0),
            ("weir features drop changed.py", 0),
            ("weir features drop changed.py --apply", 0),
        ),
    ),
    (
        "Erasing a person",
        "At the end, as it is for good. What is left still verifies.",
        (
            ('weir archive erase --entity "card=$CARD"', 0),
            ('weir archive erase --entity "card=$CARD" --why "request 4711" --apply', 0),
            ("weir evidence verify", 0),
        ),
    ),
)
