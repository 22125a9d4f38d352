"""Tests of single nodes, with a few rows each: what dbt calls unit tests. Run them with `pytest pipelines/jaffle`."""

from datetime import date

DAY = date(2026, 3, 1)


def test_payments_of_each_method_are_summed(pipeline):
    found = pipeline("jaffle.yaml").node(
        "orders",
        stg_orders=[{"order_id": id, "customer_id": 7, "ordered_on": DAY, "status": "completed"} for id in (1, 2)],
        stg_items=[
            {"order_id": 1, "sku": "DRINK-TEA", "quantity": 2, "price": 3.5},
            {"order_id": 1, "sku": "TOAST-EGG", "quantity": 1, "price": 7.0},
            {"order_id": 2, "sku": "TOAST-EGG", "quantity": 1, "price": 7.0},
        ],
        stg_payments=[
            {"payment_id": 1, "order_id": 1, "method": "coupon", "amount": 5.0},
            {"payment_id": 2, "order_id": 1, "method": "card", "amount": 4.0},
            {"payment_id": 3, "order_id": 1, "method": "card", "amount": 5.0},
        ],
    )
    assert found.select(["total", "paid", "coupon", "card"]).to_pylist() == [
        {"total": 14, "paid": 14, "coupon": 5, "card": 9},
        {"total": 7, "paid": 0, "coupon": 0, "card": 0},
    ]


def test_a_customer_without_an_order_stays(pipeline):
    found = pipeline("jaffle.yaml").node(
        "customers",
        stg_customers=[{"customer_id": id, "name": "Red Jug", "postcode": "01067", "joined_on": DAY} for id in (1, 2)],
        orders=[{"order_id": 5, "customer_id": 2, "ordered_on": DAY, "paid": 4.5}],
    )
    assert found.select(["customer_id", "orders", "paid"]).to_pylist() == [
        {"customer_id": 2, "orders": 1, "paid": 4.5},
        {"customer_id": 1, "orders": 0, "paid": 0},
    ]


def test_only_who_has_had_time_is_reminded(pipeline):
    shop = pipeline("jaffle.yaml")
    orders = [
        {"order_id": 1, "customer_id": 1, "ordered_on": date(2026, 3, 1), "status": "completed", "total": 9, "paid": 4},
        {"order_id": 2, "customer_id": 1, "ordered_on": date(2026, 3, 2), "status": "completed", "total": 9, "paid": 4},
        {"order_id": 3, "customer_id": 1, "ordered_on": date(2026, 3, 15), "status": "placed", "total": 9, "paid": 9},
    ]
    found = shop.node("reminders", orders=orders, stg_customers=[{"customer_id": 1, "name": "Red Jug"}])
    assert found.select(["order_id", "due"]).to_pylist() == [{"order_id": 1, "due": 5}]
