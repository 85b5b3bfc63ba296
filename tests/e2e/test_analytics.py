"""A year of the simulated shop: each query of ``docs/analytics.md`` answers what plain Python finds in the records."""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from math import exp, log
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client
from pydantic import ValidationError
from support.flow import Flow, Log, NewSettings
from support.history import PARTITIONS
from support.shop_facts import CENT4, ShopFacts, month_of

from connectors.kafka.publisher import Publisher, publish_history
from connectors.kafka.topics import ensure_topics
from connectors.protocol import Record
from connectors.simulator.config import ShopConfig
from connectors.simulator.shop import Shop
from contracts.events import Event
from sinks.clients import clickhouse_client

PAGE = (Path(__file__).parents[2] / "docs" / "analytics.md").read_text(encoding="utf-8")
QUESTIONS = dict(re.findall(r"### ([^`\n]+)\n.*?```sql\n(.*?)```", PAGE.partition("\n## Views\n")[0], re.DOTALL))
SHOP = ShopConfig(seed=11, customers=120, start=datetime(2024, 1, 1, tzinfo=UTC), history_days=366, passers_by=0.5,
                  duplicate_share=0.02, late_share=0.02, broken_share=0.005)  # fmt: skip
RECENCY = ((30, "0-30 days"), (90, "31-90 days"), (180, "91-180 days"))
Rows = list[tuple[Any, ...]]


@dataclass(frozen=True)
class Source:
    """The records of a shop, handed on and kept. Every fifth order is cancelled as soon as it is placed."""

    kept: list[Record]

    def records(self) -> Iterator[Record]:
        """Yield them."""
        placed = set()
        for record in Shop(SHOP).records(SHOP.end_us):
            yield self._kept(record)
            order = _order_of(record)
            if order is not None and order["event_id"] not in placed:
                placed.add(order["event_id"])
                if len(placed) % 5 == 0:
                    yield self._kept(_cancellation(record, order))

    def _kept(self, record: Record) -> Record:
        self.kept.append(record)
        return record


def _order_of(record: Record) -> dict[str, Any] | None:
    """The event of a valid order; None for all other records."""
    try:
        event = Event.model_validate_json(record.value or b"")
    except ValidationError:
        return None
    return json.loads(record.value or b"") if event.name == "Order Completed" else None


def _cancellation(record: Record, order: dict[str, Any]) -> Record:
    number = {"order_id": order["properties"]["order_id"]}
    event = order | {"event_id": f"{order['event_id']}-cancelled", "name": "Order Cancelled", "properties": number}
    return record._replace(value=json.dumps(event).encode())


@dataclass(frozen=True)
class Warehouse:
    """What the records say, and the warehouse that was made of them."""

    shop: ShopFacts
    client: Client

    def ask(self, question: str) -> Rows:
        """Run the query under a heading of the page."""
        return [tuple(row) for row in self.client.query(QUESTIONS[question]).result_rows]


@pytest.fixture(scope="module")
def year(new_settings: NewSettings) -> Iterator[Warehouse]:
    """A year, taken through the whole dataflow, with a Kafka of its own."""
    settings = new_settings(kafka_bootstrap_servers=None, time="history", dormant_days=730)
    source = Source([])
    with Flow(settings) as flow:
        kafka = flow.endpoints.kafka
        ensure_topics(kafka, PARTITIONS)
        with Publisher(kafka, PARTITIONS) as publisher:
            publish_history(source, publisher, until=SHOP.end_us)
        flow.drain(Log(kafka, PARTITIONS))
    assert settings.clickhouse_url is not None
    client = clickhouse_client(settings.clickhouse_url, settings.clickhouse_database)
    yield Warehouse(ShopFacts(source.kept), client)
    client.close()


def test_every_question_has_a_test() -> None:
    tested = re.findall(r'\.ask\("(.+?)"\)', Path(__file__).read_text(encoding="utf-8"))
    assert sorted(tested) == sorted(QUESTIONS)


def test_there_is_something_to_ask_about(year: Warehouse) -> None:
    shop = year.shop
    assert len(shop.orders) > 200
    assert sum(order.refunded > 0 for order in shop.orders.values()) > 10
    assert sum(order.cancelled_at is not None for order in shop.orders.values()) > 20
    assert any(order.cancelled_at and order.refunded for order in shop.orders.values())
    assert len({visit.channel for visit in shop.visits}) == 5
    assert sum(visit.customer.startswith("anonymous:") for visit in shop.visits) > 10
    of_customers = [visit.events for visit in shop.visits if visit.customer.startswith("c-")]
    assert any(event.customer_id is None for events in of_customers for event in events)


def test_revenue_by_month(year: Warehouse) -> None:
    months: dict[date, list[Decimal]] = defaultdict(lambda: [Decimal(0)] * 3)
    for at, amount in year.shop.movements:
        sums = months[month_of(at)]
        months[month_of(at)] = [sums[0] + max(amount, Decimal(0)), sums[1] + min(amount, Decimal(0)), sums[2] + amount]
    assert year.ask("Revenue by month") == [(month, *sums) for month, sums in sorted(months.items())]


def test_sales_by_category(year: Warehouse) -> None:
    found: dict[str, tuple[set[str], float, Decimal]] = {}
    kept = {number: order for number, order in year.shop.orders.items() if order.cancelled_at is None}
    for number, order in kept.items():
        for line in order.lines:
            orders, pieces, sales = found.get(line["category"], (set(), 0.0, Decimal(0)))
            cost = Decimal(str(round(line["quantity"] * line["price"], 4))).quantize(CENT4)
            found[line["category"]] = (orders | {number}, pieces + line["quantity"], sales + cost)
    answer = year.ask("Sales by category")
    assert {row[0]: row[1:] for row in answer} == {
        name: ("USD", len(orders), pieces, sales) for name, (orders, pieces, sales) in found.items()
    }
    assert [row[4] for row in answer] == sorted((row[4] for row in answer), reverse=True)
    assert sum(row[4] for row in answer) == sum(order.total for order in kept.values())


def test_best_sellers(year: Warehouse) -> None:
    pieces: Counter[tuple[str, str]] = Counter()
    for order in year.shop.orders.values():
        for line in order.lines:
            pieces[line["product_id"], line["name"]] += line["quantity"]
    wanted = sorted(((*product, float(count)) for product, count in pieces.items()), key=lambda row: (-row[2], row[0]))
    assert year.ask("Best sellers") == wanted[:10]


def test_orders_by_channel(year: Warehouse) -> None:
    orders: Counter[str] = Counter()
    net: dict[str, Decimal] = defaultdict(Decimal)
    for order in year.shop.orders.values():
        visit = year.shop.last_visit(order)
        channel = "unknown" if visit is None else visit.channel
        orders[channel] += 1
        net[channel] += order.net
    wanted = sorted(((name, count, net[name]) for name, count in orders.items()), key=lambda row: (-row[1], row[0]))
    assert year.ask("Orders by channel") == wanted
    assert len(wanted) >= 5


def test_funnel(year: Warehouse) -> None:
    visits = year.shop.visits
    viewed = [visit for visit in visits if visit.count("Product Viewed")]
    carted = [visit for visit in viewed if visit.count("Product Added")]
    checked = [visit for visit in carted if visit.count("Checkout Started")]
    ordered = [visit for visit in checked if year.shop.has_ordered(visit)]
    assert year.ask("Funnel") == [tuple(map(len, (visits, viewed, carted, checked, ordered)))]
    assert 0 < len(ordered) < len(checked) < len(carted) < len(viewed)


def test_conversion_by_channel(year: Warehouse) -> None:
    visits = Counter(visit.channel for visit in year.shop.visits)
    ordered = Counter(visit.channel for visit in year.shop.visits if year.shop.has_ordered(visit))
    wanted = [(name, count, ordered[name], round(ordered[name] / count, 4)) for name, count in visits.items()]
    assert year.ask("Conversion by channel") == sorted(wanted, key=lambda row: (-row[1], row[0]))


def test_retention_of_cohorts(year: Warehouse) -> None:
    found: Counter[tuple[date, int]] = Counter()
    for orders in year.shop.kept.values():
        months = [month_of(order.at) for order in orders]
        first = min(months)
        found.update({(first, 12 * (month.year - first.year) + month.month - first.month) for month in months})
    assert year.ask("Retention of cohorts") == sorted((*key, count) for key, count in found.items())


def test_recency_frequency_money(year: Warehouse) -> None:
    newest = max(order.at for order in year.shop.orders.values()).date()
    grid: dict[tuple[str, str], tuple[int, Decimal]] = {}
    for orders in year.shop.kept.values():
        days, placed = (newest - max(order.at for order in orders).date()).days, len(orders)
        recency = next((name for most, name in RECENCY if days <= most), "longer")
        frequency = "1" if placed == 1 else "2-3" if placed <= 3 else "4 or more"
        count, net = grid.get((recency, frequency), (0, Decimal(0)))
        grid[recency, frequency] = count + 1, net + sum(order.net for order in orders)
    assert year.ask("Recency, frequency, money") == sorted((*cell, *sums) for cell, sums in grid.items())


def test_repeat_rate(year: Warehouse) -> None:
    days = [[order.at.date() for order in orders] for orders in year.shop.kept.values()]
    spans = [(max(each) - min(each)).days for each in days if len(each) > 1]
    [(customers, rate, mean)] = year.ask("Repeat rate")
    assert (customers, rate) == (len(days), pytest.approx(len(spans) / len(days)))
    assert mean == pytest.approx(fmean(spans))


def test_loyalty(year: Warehouse) -> None:
    newest = max(order.at for order in year.shop.orders.values())
    days, shares = [], []
    for orders in year.shop.kept.values():
        first = min(order.at for order in orders)
        months = 12 * (newest.year - first.year) + newest.month - first.month + 1
        days.append((newest.date() - first.date()).days)
        shares.append(len({month_of(order.at) for order in orders}) / months)
    [answer] = year.ask("Loyalty")
    assert answer == (len(days), pytest.approx(fmean(days), abs=1e-3), pytest.approx(fmean(shares), abs=1e-4))


def test_revenue_by_week_and_segment(year: Warehouse) -> None:
    segments = dict(year.client.query("SELECT customer_id, segment FROM newest_scores").result_rows)
    weeks: dict[tuple[date, str], Decimal] = defaultdict(Decimal)
    for order in year.shop.orders.values():
        for at, amount in order.movements:
            monday = at.date() - timedelta(days=at.weekday())
            weeks[monday, segments.get(order.customer, "none")] += amount
    assert year.ask("Revenue by week and segment") == sorted((*key, net) for key, net in weeks.items())
    assert len({segment for _, segment in weeks}) > 3


def test_customers_by_country(year: Warehouse) -> None:
    countries: dict[str, list[str]] = defaultdict(list)
    for customer, country in year.shop.countries.items():
        countries[country].append(customer)
    wanted = []
    for country, customers in countries.items():
        orders = [order for order in year.shop.orders.values() if order.customer in customers]
        wanted.append((country, len(customers), len(orders), sum(order.total for order in orders)))
    assert year.ask("Customers by country") == sorted(wanted, key=lambda row: (-row[1], row[0]))
    assert len(wanted) > 2


def test_favourite_categories(year: Warehouse) -> None:
    """What counts is how the weights stand to each other: that does not depend on the day."""
    newest = max(order.at for order in year.shop.orders.values())
    favourites: Counter[str] = Counter()
    for orders in year.shop.kept.values():
        weights: dict[str, float] = defaultdict(float)
        for order in orders:
            for category in {line["category"] for line in order.lines}:
                weights[category] += exp((order.at - newest) / timedelta(days=90))
        favourites[min(weights, key=lambda name: (-round(log(weights[name]), 6), name))] += 1
    assert year.ask("Favourite categories") == sorted(favourites.items(), key=lambda row: (-row[1], row[0]))


def hours_to(ticket: dict[str, list[Event]], *names: str) -> float | None:
    """Hours from the opening of a ticket to the first event of some names; None if there is none."""
    opened = ticket["Ticket Opened"][0].occurred_at
    times = [event.occurred_at for name in names for event in ticket[name]]
    return (min(times) - opened) / timedelta(hours=1) if times else None


def rating_of(ticket: dict[str, list[Event]]) -> float | None:
    return ticket["CSAT Submitted"][-1].properties.model_dump()["score"] if ticket["CSAT Submitted"] else None


def mean(values: Iterable[float | None]) -> Any:
    """The mean of those that are there, as the queries round it."""
    known = [value for value in values if value is not None]
    return pytest.approx(fmean(known), abs=1e-3) if known else None


def test_tickets_and_satisfaction_by_month(year: Warehouse) -> None:
    months: dict[date, list[dict[str, list[Event]]]] = defaultdict(list)
    for ticket in year.shop.tickets.values():
        months[month_of(ticket["Ticket Opened"][0].occurred_at)].append(ticket)
    for row, (month, group) in zip(year.ask("Tickets and satisfaction by month"), sorted(months.items()), strict=True):
        hours = [hours_to(each, "Ticket Solved") for each in group]
        quickly = sum(each is not None and each <= 24 for each in hours)
        assert row == (month, len(group), quickly, mean(hours), mean(map(rating_of, group)))


def of_tickets(year: Warehouse, about: str) -> dict[str, list[dict[str, list[Event]]]]:
    """The tickets by a property of their opening."""
    found: dict[str, list[dict[str, list[Event]]]] = defaultdict(list)
    for ticket in year.shop.tickets.values():
        found[ticket["Ticket Opened"][0].properties.model_dump()[about]].append(ticket)
    return dict(sorted(found.items(), key=lambda pair: (-len(pair[1]), pair[0])))


def test_service_by_team(year: Warehouse) -> None:
    teams = of_tickets(year, "team")
    answer = year.ask("Service by team")
    assert [row[0] for row in answer] == list(teams)
    assert len(teams) == 3
    for (_, opened, answered, solved), tickets in zip(answer, teams.values(), strict=True):
        assert opened == len(tickets)
        for share, names in ((answered, ("Ticket Updated", "Ticket Solved")), (solved, ("Ticket Solved",))):
            hours = [hours_to(each, *names) for each in tickets]
            in_time = sum(each is not None and each <= 24 for each in hours)
            assert share == pytest.approx(in_time / len(tickets), abs=1e-4)


def test_service_by_agent(year: Warehouse) -> None:
    wanted = [
        (agent, len(tickets), mean(hours_to(each, "Ticket Updated", "Ticket Solved") for each in tickets),
         mean(hours_to(each, "Ticket Solved") for each in tickets), mean(map(rating_of, tickets)))
        for agent, tickets in of_tickets(year, "agent").items()
    ]  # fmt: skip
    assert year.ask("Service by agent") == wanted
    assert len(wanted) == 4


def test_net_promoter_score(year: Warehouse) -> None:
    months: dict[date, list[int]] = defaultdict(list)
    for event, said in year.shop.named("NPS Submitted"):
        months[month_of(event.occurred_at)].append(said["rating"])
    wanted = []
    for month, ratings in sorted(months.items()):
        promoters, detractors = sum(each >= 9 for each in ratings), sum(each <= 6 for each in ratings)
        score = pytest.approx(100 * (promoters - detractors) / len(ratings), abs=0.051)
        wanted.append((month, len(ratings), score))
    assert year.ask("Net promoter score by month") == wanted
    assert len(wanted) > 6


def test_reviews_of_products(year: Warehouse) -> None:
    products: dict[str, list[float]] = defaultdict(list)
    for _, said in year.shop.named("Product Reviewed"):
        products[said["product_id"]].append(said["rating"])
    wanted = {product: (len(ratings), mean(ratings)) for product, ratings in products.items()}
    answer = year.ask("Reviews of products")
    assert {row[0]: row[1:] for row in answer} == wanted
    assert answer == sorted(answer, key=lambda row: (row[2], row[0]))
    assert len(answer) > 10


def test_complaints(year: Warehouse) -> None:
    months: dict[date, list[str]] = defaultdict(list)
    for event, _ in year.shop.named("Complaint Received"):
        months[month_of(event.occurred_at)].append(year.shop.owner(event))
    wanted = [(month, len(people), len(set(people))) for month, people in sorted(months.items())]
    assert year.ask("Complaints by month") == wanted
    assert wanted


def test_payment_methods(year: Warehouse) -> None:
    found: dict[str, tuple[int, Decimal]] = {}
    for order in year.shop.orders.values():
        count, net = found.get(order.payment, (0, Decimal(0)))
        found[order.payment] = count + 1, net + order.net
    wanted = sorted(((method, *sums) for method, sums in found.items()), key=lambda row: (-row[1], row[0]))
    assert year.ask("Payment methods") == wanted
    assert len(wanted) == 3


def test_deals_by_seller(year: Warehouse) -> None:
    deals: dict[str, dict[str, tuple[Event, dict[str, Any]]]] = defaultdict(dict)
    for name in ("Deal Created", "Deal Won", "Deal Lost"):
        for event, said in year.shop.named(name):
            deals[said["deal_id"]][name] = event, said
    sellers: dict[str, list[dict[str, tuple[Event, dict[str, Any]]]]] = defaultdict(list)
    for deal in deals.values():
        sellers[deal["Deal Created"][1]["owner"]].append(deal)
    answer = year.ask("Deals by seller")
    assert {row[0] for row in answer} == set(sellers)
    for owner, currency, won, lost, still_open, worth, days in answer:
        assert currency == "USD"
        group = sellers[owner]
        counts = [sum(name in deal for deal in group) for name in ("Deal Won", "Deal Lost")]
        assert [won, lost, still_open] == [*counts, len(group) - sum(counts)]
        ended = [deal for deal in group if "Deal Won" in deal]
        assert worth == sum(Decimal(str(deal["Deal Created"][1]["amount"])) for deal in ended)
        times = [(deal["Deal Won"][0].occurred_at - deal["Deal Created"][0].occurred_at) for deal in ended]
        lasted = [each / timedelta(days=1) for each in times]
        assert days == (pytest.approx(fmean(lasted), abs=0.006) if lasted else None)
    assert sum(row[2] for row in answer) > 0


def sweeps(year: Warehouse) -> dict[datetime, dict[str, tuple[str, float]]]:
    """Lifecycle and churn of each customer in each sweep, the newest last."""
    found: dict[datetime, dict[str, tuple[str, float]]] = defaultdict(dict)
    rows = year.client.query("SELECT as_of, customer_id, lifecycle, probability['churn'] FROM customer_daily FINAL")
    for as_of, customer, lifecycle, churn in sorted(rows.result_rows):
        found[as_of][customer] = lifecycle, churn
    return found


def test_changes_of_lifecycle(year: Warehouse) -> None:
    found = sweeps(year)
    newest = max(found)
    before, after = found[newest - timedelta(days=30)], found[newest]
    moved = Counter((before[each][0], after[each][0]) for each in before.keys() & after.keys())
    wanted = [(*pair, count) for pair, count in moved.items() if pair[0] != pair[1]]
    assert year.ask("Changes of lifecycle in 30 days") == sorted(wanted, key=lambda row: (-row[2], *row[:2]))
    assert wanted


def test_who_became_at_risk(year: Warehouse) -> None:
    """As of the last day, and as of the last on which somebody became it."""
    found = sweeps(year)
    became = {
        day: {
            name: round(churn, 3) for name, (lifecycle, churn) in found[day].items()
            if lifecycle == "at_risk" and found[day - timedelta(days=1)].get(name, ("at_risk",))[0] != "at_risk"
        } for day in sorted(found)[1:]
    }  # fmt: skip
    assert {row[0] for row in year.ask("Who became at risk since yesterday, and why")} == set(became[max(became)])
    day = max(day for day, people in became.items() if people)
    query = QUESTIONS["Who became at risk since yesterday, and why"]
    midnight = f"SELECT toDateTime('{day:%Y-%m-%d %H:%M:%S}', 'UTC')"
    then = query.replace("SELECT max(as_of) FROM customer_daily", midnight)
    assert then != query
    answer = year.client.query(then).result_rows
    assert {row[0]: pytest.approx(row[1], abs=1e-6) for row in answer} == became[day]
    assert all(row[2] for row in answer)
