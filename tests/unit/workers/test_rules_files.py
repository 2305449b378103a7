"""A campaign and customers are read from files as a vendor would send them, or every mistake is told with its line."""

from pathlib import Path

import pytest

from clearance.decisions.decision import Campaign, Customer
from workers.commands.rules_files import FileError, load_campaign, load_customers, misspelt_attributes


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory to write files to, as the present one, so that messages name them shortly."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def problems_of_campaign(text: str) -> list[str]:
    Path("c.json").write_text(text)
    with pytest.raises(FileError) as caught:
        load_campaign("c.json")
    return list(caught.value.problems)


def problems_of_customers(text: str | bytes, name: str) -> list[str]:
    Path(name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(FileError) as caught:
        load_customers(name)
    return list(caught.value.problems)


def test_a_campaign_has_what_the_file_says_and_ids_that_are_numbers_as_text(told: Path) -> None:
    Path("c.json").write_text(
        '{"lane": "send_group", "send_group_id": 123, "tags": ["a"], "is_control": true}'
    )

    assert load_campaign("c.json") == Campaign(
        lane="send_group", send_group_id="123", tags=("a",), is_control=True
    )


def test_every_mistake_of_a_campaign_is_told_with_its_line_and_what_was_meant(told: Path) -> None:
    text = '{\n "tag": ["bonus"],\n "is_control": "no",\n "channel_name": true,\n "tags": "bonus"\n}'

    assert problems_of_campaign(text) == [
        "c.json:2: unknown key `tag`: did you mean `tags`?",
        "c.json:3: `is_control` must be true or false",
        "c.json:4: `channel_name` must be text",
        "c.json:5: `tags` must be a list of texts",
        "c.json:1: `lane` is missing: triggered, send_group or campaign",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[]", "c.json: must be a JSON object: the campaign"),
        ('{\n"lane": triggered}', "c.json:2: is no JSON: Expecting value"),
        ("[" * 200_000, "c.json: is no JSON that anybody sends"),
    ],
)
def test_a_file_that_is_no_campaign_is_told(told: Path, text: str, problem: str) -> None:
    assert problems_of_campaign(text) == [problem]


def test_customers_of_a_json_list_keep_their_values(told: Path) -> None:
    Path("x.json").write_text(
        '[{"customer_id": "007", "attributes": {"age": 7, "vip": null}, "promo_codes": ["P"],'
        ' "is_hashed": true, "is_visitor": false},\n {"customer_id": " C2 "}]'
    )

    assert load_customers("x.json") == [
        Customer(customer_id="007", attributes={"age": 7, "vip": None}, promo_codes=("P",), is_hashed=True),
        Customer(customer_id=" C2 ", attributes={}),
    ]


def test_customers_of_a_csv_file_have_text_and_an_empty_cell_is_absent(told: Path) -> None:
    Path("x.csv").write_bytes('\ufeffcustomer_id,country,note\r\n007,DE,"a\nb"\r\n\r\n C2 ,,x\r\n'.encode())

    assert load_customers("x.csv") == [
        Customer(customer_id="007", attributes={"country": "DE", "note": "a\nb"}),
        Customer(customer_id=" C2 ", attributes={"note": "x"}),
    ]


def test_every_wrong_customer_of_a_json_list_is_told_with_the_line_it_begins_on(told: Path) -> None:
    text = (
        '\n[\n {"customer_id": "canary",\n  "atributes": {}},\n  7, {"attributes": [],\n "promo_codes": [1]},'
        '\n {"customer_id": 9, "is_hashed": 1}\n]'
    )

    assert problems_of_customers(text, "x.json") == [
        "x.json:3: unknown key `atributes`: did you mean `attributes`?",
        "x.json:5: must be a JSON object: a customer",
        "x.json:5: `attributes` must be a JSON object: values by name; `promo_codes` must be a list of texts;"
        " `customer_id` is missing",
        "x.json:7: `customer_id` must be text, as the vendor sends it; `is_hashed` must be true or false",
    ]


def test_every_wrong_line_of_a_csv_file_is_told(told: Path) -> None:
    text = 'customer_id,country\nC1,DE\ncanary\n"C\n2",DE\n,DE\n"C3"x,DE\n'

    assert problems_of_customers(text, "x.csv") == [
        "x.csv:3: has 1 columns, and the first line has 2",
        "x.csv:6: `customer_id` is empty",
        "x.csv:7: is no CSV: ',' expected after '\"'",
    ]


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("x.csv", "customerid,country\nC1,DE\n", "x.csv:1: the first line must name the columns, and `customer_id`"
         " is not among them: did you mean `customer_id`?"),
        ("x.csv", "customer_id,a,a\n", "x.csv:1: column `a` stands there twice"),
        ("x.csv", "customer_id\n", "x.csv: names no customer"),
        ("x.csv", "", "x.csv: names no customer"),
        ("x.csv", b"customer_id\nC\xff\n", "x.csv:2: is not UTF-8"),
        ("x.json", "[]", "x.json: names no customer"),
        ("x.json", '{"customers": []}', "x.json:1: must be a JSON list of customers"),
        ("x.json", '[\n{"customer_id": "C1"}', "x.json:2: is no JSON: Expecting ',' delimiter"),
    ],
)  # fmt: skip
def test_a_file_that_names_no_customers_is_told(
    told: Path, name: str, text: str | bytes, problem: str
) -> None:
    assert problems_of_customers(text, name) == [problem]


def test_a_file_that_is_not_there_is_told(told: Path) -> None:
    with pytest.raises(FileError, match=r"x\.csv: cannot be read: No such file or directory"):
        load_customers("x.csv")


def test_of_many_mistakes_a_screenful_is_told(told: Path) -> None:
    problems = problems_of_customers("customer_id\n" + ",\n" * 1000, "x.csv")

    assert len(problems) == 21
    assert problems[-1] == "x.csv: and 980 more"


def test_an_attribute_that_the_rules_probably_mean_is_told_and_others_are_nobodys_business() -> None:
    customers = [
        Customer(customer_id="C1", attributes={"contry": "DE", "email": "x", "country": "DE"}),
        Customer(customer_id="C2", attributes={"contry": "DE"}),
    ]

    assert list(misspelt_attributes(customers, ["country", "age"])) == [
        "the rules declare no attribute `contry`: did you mean `country`?"
    ]
