"""A fault of the file is one message that says what is probably wrong, and exit code 2; no row is blamed for it."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.unit.infra.user_files.files import GOOD, payments, read, write_csv, write_json
from weir.cli import main
from weir.schemas.errors import Refused

HEADER = ",".join(GOOD)
ROW = ",".join(map(str, GOOD.values()))
SPARKOV = ",trans_date_trans_time,cc_num,merchant,category,amt,first,last,gender,trans_num,unix_time,is_fraud"
PAYSIM = "step,type,amount,nameOrig,oldbalanceOrg,newbalanceOrig,nameDest,oldbalanceDest,isFraud,isFlaggedFraud"
TABFORMER = "User,Card,Year,Month,Day,Time,Amount,Use Chip,Merchant Name,Merchant City,Zip,MCC,Errors?,Is Fraud?"
IEEE = "TransactionID,isFraud,TransactionDT,TransactionAmt,ProductCD,card1,card2,addr1"
ULB = '"Time",' + ",".join(f'"V{number}"' for number in range(1, 29)) + ',"Amount","Class"'

FAULTS = {
    "sparkov": (SPARKOV, "Sparkov"),
    "paysim": (PAYSIM, "PaySim"),
    "tabformer": (TABFORMER, "TabFormer"),
    "ieee": (IEEE, "IEEE-CIS"),
    "ulb": (ULB, "no column tells one card from another"),
    "semicolon": (HEADER.replace(",", ";"), "--separator ';'"),
    "tab": (HEADER.replace(",", "\t"), "--separator tab"),
    "bar": (HEADER.replace(",", "|"), "--separator '|'"),
    "semicolon of another layout": (PAYSIM.replace(",", ";"), "--separator ';'"),
    "upper case": (HEADER.upper(), "case or blanks"),
    "blanks": (HEADER.replace(",", " , "), "case or blanks"),
    "dashes": (HEADER.replace("_", "-"), "case or blanks"),
    "lines before": ("Bank of Weir\nexport;2026\n\n" + HEADER, "--skip-lines 3"),
    "lines before, semicolon": ("Bank\n" + HEADER.replace(",", ";"), "--skip-lines 1 and --separator ';'"),
    "no header": (ROW, "first line seems to hold values"),
    "one column short": (HEADER.replace(",currency", ""), "missing: currency"),
    "twice": (HEADER + ",card_id", "card_id twice"),
    "open quote": ('"' + HEADER, "open quote"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_header_of_another_layout_is_one_message_with_the_cause(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], fault: str
) -> None:
    header, cause = FAULTS[fault]
    path = tmp_path / "a.csv"
    path.write_text(header + "\n" + (ROW + "\n") * 10_000)
    assert main(["publish", str(path), "--dry-run"]) == 2
    output = capsys.readouterr()
    assert len(output.err.splitlines()) == 1, output.err
    assert cause in output.err
    assert output.out == ""
    with pytest.raises(Refused) as refusal:  # who reads the file without flags is told of none
        read(path)
    assert "--" not in str(refusal.value)


@pytest.mark.parametrize(
    ("encoding", "named"),
    [("utf-16", "utf-16"), ("utf-16-le", "utf-16-le"), ("utf-16-be", "utf-16-be"), ("utf-32", "utf-32")],
)
def test_wide_text_is_named_with_the_flag_that_reads_it(tmp_path: Path, encoding: str, named: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(HEADER + "\n" + ROW + "\n", encoding=encoding)
    with pytest.raises(Refused, match="save it as utf-8") as refusal:
        read(path)
    assert refusal.value.flags.endswith(f"--encoding {named}")
    assert main(["publish", str(path), "--dry-run", "--encoding", named]) == 0


@pytest.mark.parametrize("flags", [["--separator", ";"], ["--separator", "semicolon", "--skip-lines", "2"]])
def test_the_flags_that_a_message_names_read_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str]
) -> None:
    path = tmp_path / "a.csv"
    before = "x\n\n" if "--skip-lines" in flags else ""
    path.write_text(before + (HEADER + "\n" + ROW + "\n").replace(",", ";"))
    assert main(["publish", str(path), "--dry-run", *flags]) == 0
    assert capsys.readouterr().err == ""


def test_a_header_never_shows_the_values_of_a_file_without_one(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(ROW.replace("card_1", "4111111111111111") + "\n")
    with pytest.raises(Refused) as refusal:
        read(path)
    assert "cust_1" not in str(refusal.value)
    assert "1111" not in str(refusal.value)


def test_json_lines_and_parquet_of_another_layout_are_one_message_too(tmp_path: Path) -> None:
    rows = [dict.fromkeys(PAYSIM.split(","), 1)] * 100
    with pytest.raises(Refused, match=r"a\.jsonl: expected the columns .* PaySim"):
        read(write_json(tmp_path / "a.jsonl", rows))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    with pytest.raises(Refused, match=r"a\.parquet: expected the columns .* PaySim"):
        read(tmp_path / "a.parquet")


def test_a_parquet_column_that_stands_twice_is_refused(tmp_path: Path) -> None:
    table = pa.Table.from_pylist(payments(2))
    pq.write_table(table.append_column("card_id", table["card_id"]), tmp_path / "a.parquet")
    with pytest.raises(Refused, match="card_id twice"):
        read(tmp_path / "a.parquet")


@pytest.mark.parametrize("tail", [b"", b"\r\n\r\n"])
def test_a_header_alone_says_why_it_is_exit_code_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], tail: bytes
) -> None:
    assert main(["publish", str(write_csv(tmp_path / "a.csv", [], tail)), "--dry-run"]) == 1
    assert "expected rows, found none" in capsys.readouterr().err


def test_errors_of_a_kind_are_counted_after_the_first_few(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = payments(300, country="Germany")
    rows[7]["mcc"] = "x"
    assert main(["publish", str(write_csv(tmp_path / "a.csv", rows)), "--dry-run"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len([line for line in lines if "bad_country: expected two" in line]) == 5
    assert [line for line in lines if ":9: wrong_type" in line]
    assert "a.csv: bad_country at $.country: 294 more, the last on line 301" in lines
    assert len(lines) < 10


def test_a_file_name_reaches_the_terminal_escaped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_csv(tmp_path / "a\x1b[2J.csv", payments(2, country="Germany"))
    assert main(["publish", str(path), "--dry-run"]) == 1
    assert main(["publish", str(path), "--dry-run", "--separator", ";"]) == 2
    written = capsys.readouterr().err
    assert "bad_country" in written
    assert "\x1b" not in written
