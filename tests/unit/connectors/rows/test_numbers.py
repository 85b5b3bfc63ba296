"""Numbers as people write them: what is declared is read, and nothing else."""

import pytest

from connectors.rows.numbers import NumberFormat, format_of, plain_parser, sample_parser
from connectors.rows.values import BadValueError


@pytest.mark.parametrize(
    ("sample", "form"),
    [
        ("1.249,00 €", NumberFormat(",", ".", "€")),
        ("€1,249.00", NumberFormat(".", ",", "€")),
        ("-1'249.50", NumberFormat(".", "'", "")),
        ("1\u00a0249,00 kr", NumberFormat(",", " ", "kr")),
        ("EUR 12,00", NumberFormat(",", "", "EUR")),
        ("(12.00)", NumberFormat(".", "", "")),
        ("1.249.000", NumberFormat(",", ".", "")),
        ("12", NumberFormat()),
    ],
)
def test_a_sample_declares_the_signs(sample: str, form: NumberFormat) -> None:
    assert format_of(sample) == form


@pytest.mark.parametrize("sample", ["1,249", "1.249", "", "abc", "12 of 13", "1,2.3'4", "50 %", "1.2,3.4"])
def test_a_sample_that_is_unclear_is_refused(sample: str) -> None:
    with pytest.raises(ValueError, match="format: "):
        format_of(sample)


@pytest.mark.parametrize(
    ("sample", "text", "value"),
    [
        ("1.249,00 €", "1.249,00 €", 1249.0),
        ("1.249,00 €", "1249,00", 1249.0),
        ("1.249,00 €", "€ 12,5", 12.5),
        ("1.249,00 €", "-12,00 €", -12.0),
        ("1.249,00 €", "12,00- €", -12.0),
        ("1.249,00 €", "12,00 €-", -12.0),
        ("1.249,00 €", "(12,00)", -12.0),
        ("1.249,00 €", "\u22121.234.567,89", -1234567.89),
        ("1 249,00", "1\u202f249,00", 1249.0),
        ("1 249,00", "1\u00a0249,00", 1249.0),
        ("CHF 1'249.50", "1\u2019249.50", 1249.5),
        ("$1,249.00", "$12.00", 12.0),
    ],
)
def test_numbers_like_the_sample(sample: str, text: str, value: float) -> None:
    assert sample_parser(format_of(sample))(text) == value


@pytest.mark.parametrize(
    ("sample", "text"),
    [
        ("1.249,00 €", "1.2"),
        ("1.249,00 €", "12.49,00"),
        ("1.249,00 €", "1,249.00"),
        ("1.249,00 €", "12,00 $"),
        ("1.249,00 €", "12,00 USD"),
        ("1.249,00 €", "--12,00"),
        ("1.249,00 €", "12€00"),
        ("1.249,00 €", "€"),
        ("1249.00", "1,249.00"),
        ("1249.00", "1e3"),
        ("1 249,00", "1\u00a0249\u202f000,00"),
    ],
)
def test_other_numbers_are_refused_without_their_value(sample: str, text: str) -> None:
    with pytest.raises(BadValueError) as error:
        sample_parser(format_of(sample))(text)
    assert text not in str(error.value)


@pytest.mark.parametrize(
    ("text", "value"), [("1.249,00", 1249.0), ("-1.249", -1249.0), ("12,5", 12.5), ("1249", 1249.0)]
)
def test_thousands_at_their_places(text: str, value: float) -> None:
    assert plain_parser(",", ".")(text) == value


@pytest.mark.parametrize("text", ["1.2", "12.34,00", "1.2345", ".249", "1..249", "1,249.00", "1.249 ,0"])
def test_thousands_at_other_places_are_an_error(text: str) -> None:
    with pytest.raises(BadValueError, match=r"thousands|number"):
        plain_parser(",", ".")(text)
