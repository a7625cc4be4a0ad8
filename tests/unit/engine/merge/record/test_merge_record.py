"""The record of a job's merge, as a worker with write access to it may have damaged it."""

from dataclasses import asdict, fields

import pytest

from orchestrator.engine.merge.record.merge_record import MergeRecord, record_of

RECORD = asdict(MergeRecord(job_id="j", strategy="auto", base="b"))


def test_a_stored_record_is_read_back_unchanged() -> None:
    record = MergeRecord(job_id="j", strategy="auto", base="b", handed={"paths": []}, seconds=2)

    assert record_of(asdict(record)) == record
    assert record_of({**RECORD, "handed": None, "field_of_a_later_version": 1}) is not None


@pytest.mark.parametrize("name", [each.name for each in fields(MergeRecord)])
def test_a_field_of_another_type_makes_the_record_unreadable(name: str) -> None:
    wrong = [1] if not isinstance(RECORD[name], list) else {"a": 1}

    assert record_of({**RECORD, name: wrong}) is None


def test_a_record_of_an_earlier_version_has_no_list_of_removed_changes() -> None:
    values = {name: value for name, value in RECORD.items() if name != "gone"}

    assert record_of(values) is not None
    assert record_of({**values, "reasons": []}) is None
