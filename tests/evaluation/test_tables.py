from maskdistill.evaluation import tables


def row(**changes):
    return {"stage": "segment", "name": "mIoU", "split": "train", "value": 0.4567, "interval": None} | changes


def test_a_table_has_a_column_a_split_in_percent():
    text = tables.table([row(split="validation", value=0.4), row(interval=[0.41, 0.5])])
    assert text.splitlines() == [
        "| stage   | metric | train               | validation |",
        "| ------- | ------ | ------------------- | ---------- |",
        "| segment | mIoU   | 45.7 (41.0 to 50.0) | 40.0       |",
    ]


def test_a_value_that_is_missing_is_a_dash():
    text = tables.table([row(value=None), row(stage="propose", split="validation")])
    assert text.splitlines()[2].split("|")[3:5] == [" -     ", " -          "]
    assert text.splitlines()[3].split("|")[3].strip() == "-"


def test_all_lines_have_one_length():
    lines = tables.table([row(), row(name="IoU/a very long class"), row(name="AP", split="validation")]).splitlines()
    assert len({len(line) for line in lines}) == 1


def test_stages_stay_in_the_order_in_which_they_came():
    text = tables.table([row(stage="propose"), row(stage="cluster"), row(stage="propose", name="AP")])
    assert [line.split("|")[1].strip() for line in text.splitlines()[2:]] == ["propose", "cluster", "propose"]


def test_no_rows_give_the_head_alone():
    assert len(tables.table([]).splitlines()) == 2


def test_two_results_stand_beside_their_difference_and_its_interval():
    both = row(other=0.4, difference=0.0567, interval=[0.01, 0.1], p=0.0199)
    alone = row(name="agreement", other=None, difference=None, interval=[0.8, 0.9], p=None, value=0.85)
    assert tables.compared([both, alone]).splitlines()[2:] == [
        "| segment | mIoU      | train | 45.7                | 40.0  | 5.7 (1.0 to 10.0) | 0.020 |",
        "| segment | agreement | train | 85.0 (80.0 to 90.0) | -     | -                 | -     |",
    ]
