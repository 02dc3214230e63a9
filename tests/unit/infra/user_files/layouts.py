"""Made-up rows of layouts that people know, a few at a time and from a seed; nothing of the real sets is in here."""

from __future__ import annotations

import csv
import random
from pathlib import Path
from typing import Any

Rows = list[dict[str, Any]]


def sparkov(count: int, seed: int = 1) -> Rows:
    rng = random.Random(seed)
    return [
        {
            "": number,
            "trans_date_trans_time": f"2019-01-{1 + number // 24 % 28:02d} {number % 24:02d}:{number % 60:02d}:18",
            "cc_num": 4_000_000_000_000_000 + rng.randrange(50),
            "merchant": f"fraud_Made Up {rng.randrange(9)}, Ltd",
            "category": rng.choice(["grocery_pos", "gas_transport", "misc_net", "shopping_net", "home"]),
            "amt": round(rng.uniform(1, 900), 2),
            "lat": 40.5,
            "long": -80.25,
            "trans_num": f"{rng.getrandbits(128):032x}",
            "unix_time": 1_325_376_018 + number,
            "merch_lat": 41.0,
            "merch_long": -81.0,
            "is_fraud": int(rng.random() < 0.1),
        }
        for number in range(count)
    ]


def paysim(count: int, seed: int = 2) -> Rows:
    rng = random.Random(seed)
    return [
        {
            "step": 1 + number // 10,
            "type": rng.choice(["PAYMENT", "TRANSFER", "CASH_OUT", "CASH_IN", "DEBIT"]),
            "amount": round(rng.uniform(1, 9_000), 2),
            "nameOrig": f"C{rng.randrange(40)}",
            "oldbalanceOrg": 0.0,
            "nameDest": f"M{rng.randrange(9)}",
            "isFraud": int(rng.random() < 0.1),
            "isFlaggedFraud": 0,
        }
        for number in range(count)
    ]


def tabformer(count: int, seed: int = 3) -> Rows:
    rng = random.Random(seed)
    return [
        {
            "User": rng.randrange(5),
            "Card": rng.randrange(3),
            "Year": 2002,
            "Month": 9,
            "Day": 1 + number % 28,
            "Time": f"{number % 24:02d}:{number % 60:02d}",
            "Amount": f"${rng.uniform(1, 300):.2f}",
            "Use Chip": rng.choice(["Swipe Transaction", "Chip Transaction", "Online Transaction"]),
            "Merchant Name": rng.randrange(-(2**62), 2**62),
            "Merchant City": "La Verne",
            "MCC": rng.choice([5411, 5812, 4829]),
            "Errors?": rng.choice(["", "Insufficient Balance,"]),
            "Is Fraud?": rng.choice(["No", "No", "Yes"]),
        }
        for number in range(count)
    ]


def ieee_cis(count: int, seed: int = 4) -> Rows:
    rng = random.Random(seed)
    return [
        {
            "TransactionID": 2_987_000 + number,
            "isFraud": int(rng.random() < 0.1),
            "TransactionDT": 86_400 + 37 * number,
            "TransactionAmt": rng.choice([68.5, 29.0, 59.307, 117.0]),
            "ProductCD": rng.choice("WHCRS"),
            "card1": 10_000 + rng.randrange(30),
            "card2": rng.choice(["404.0", ""]),
            "card3": 150.0,
            "card4": rng.choice(["visa", "discover"]),
            "card5": "",
            "card6": "credit",
            "addr1": rng.choice([315.0, ""]),
        }
        for number in range(count)
    ]


LAYOUTS = {"sparkov": sparkov, "paysim": paysim, "tabformer": tabformer, "ieee-cis": ieee_cis}


def write(path: Path, rows: Rows) -> Path:
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path
