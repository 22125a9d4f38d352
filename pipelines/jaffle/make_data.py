"""Makes the tables of an imagined sandwich shop, half a year of orders. The same every time: `python make_data.py`."""

import csv
import random
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

Row = dict[str, Any]

SEED = 2026
FIRST, LAST = date(2026, 1, 1), date(2026, 6, 30)
CUSTOMERS, ORDERS = 200, 1_500
TOOK_TOO_MUCH = (204, 861, 1_377)  # orders that are paid twice

COLOURS = "Amber Blue Copper Dun Ecru Fawn Green Hazel Ivory Jade Khaki Lilac Mauve Navy Olive Pink Red Sand Teal Umber"
THINGS = "Anchor Basket Candle Drum Easel Fiddle Globe Hammer Iron Jug"
PRODUCTS = [
    {"sku": "TOAST-CHEESE", "name": "Toast with cheese", "cents": 650},
    {"sku": "TOAST-PEAR", "name": "Toast with pear and walnut", "cents": 790},
    {"sku": "TOAST-EGG", "name": "Toast with egg", "cents": 720},
    {"sku": "TOAST-BEANS", "name": "Toast with beans", "cents": 690},
    {"sku": "DRINK-TEA", "name": "Pot of tea", "cents": 380},
    {"sku": "DRINK-COFFEE", "name": "Coffee", "cents": 320},
    {"sku": "DRINK-CIDER", "name": "Apple cider", "cents": 450},
]


def customers(chance: random.Random) -> Iterator[Row]:
    """Yield customers. Of two in a hundred the post code is not known as one."""
    names = [f"{colour} {thing}" for colour in COLOURS.split() for thing in THINGS.split()]
    chance.shuffle(names)
    for id, name in zip(range(1, CUSTOMERS + 1), names, strict=True):
        postcode = "abroad" if id % 100 == 37 else f"{chance.randrange(1_000, 99_999):05}"
        joined = FIRST - timedelta(days=chance.randrange(1, 900))
        yield {"id": id, "name": name, "postcode": postcode, "joined_on": joined}


def orders(chance: random.Random) -> Iterator[Row]:
    """Yield orders by day. Older ones have come further; one in twenty has been sent back, or will be."""
    days = (LAST - FIRST).days + 1
    for id in range(1, ORDERS + 1):
        ordered = FIRST + timedelta(days=(id - 1) * days // ORDERS)
        age = (LAST - ordered).days + chance.randrange(3)
        status = "placed" if age < 2 else "shipped" if age < 7 else "completed"
        if status == "completed" and chance.random() < 0.05:
            status = "returned" if age > 20 else "return_pending"
        # A few customers order most.
        customer = 1 + int(CUSTOMERS * chance.random() ** 2)
        yield {"id": id, "customer_id": customer, "ordered_on": ordered, "status": status}


def items(chance: random.Random) -> Iterator[Row]:
    """Yield one to four lines for each order."""
    for order in range(1, ORDERS + 1):
        for product in chance.sample(PRODUCTS, chance.randint(1, 4)):
            yield {"order_id": order, "sku": product["sku"], "quantity": chance.choice((1, 1, 1, 2, 3))}


def payments(chance: random.Random, sold: list[Row]) -> Iterator[Row]:
    """Yield one or two payments for nearly each order."""
    price = {product["sku"]: product["cents"] for product in PRODUCTS}
    due = dict.fromkeys(range(1, ORDERS + 1), 0)
    for item in sold:
        due[item["order_id"]] += price[item["sku"]] * item["quantity"]
    made = []
    for order, cents in due.items():
        if chance.random() < 0.04:  # not yet
            continue
        coupon = min(500, cents) if chance.random() < 0.15 else 0
        method = chance.choice(("card", "card", "card", "transfer", "gift_card"))
        made += [(order, "coupon", coupon)] * (coupon > 0)
        made += [(order, method, cents - coupon)] * (cents > coupon) * (1 + (order in TOOK_TOO_MUCH))
    for id, (order, method, cents) in enumerate(made, 1):
        yield {"id": id, "order_id": order, "method": method, "cents": cents}


def tables() -> dict[str, list[Row]]:
    """Return all tables by their names. Each has a generator of its own: a change of one leaves the others."""
    found = {make.__name__: list(make(random.Random(f"{make.__name__} {SEED}"))) for make in (customers, orders, items)}
    found["payments"] = list(payments(random.Random(f"payments {SEED}"), found["items"]))
    return {**found, "products": PRODUCTS}


def main() -> None:
    """Write the tables to `data/`."""
    for name, rows in tables().items():
        path = Path(__file__).with_name("data") / f"{name}.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main()
