"""Tests of etl.yaml. The fixture `pipeline` comes with nfrun; its runs stay apart."""

from datetime import date

ADA = {"id": 1, "name": "Ada", "country": "DE", "zip": "01067"}
DAY = date(2026, 1, 31)
PAID = {"id": 1, "customer": 1, "day": DAY, "status": "paid", "amount": 5.0}
RETURNED = {**PAID, "id": 2, "status": "returned"}


def test_sales_are_paid_orders(pipeline):
    etl = pipeline("etl.yaml")
    sales = etl.node("sales", orders=[PAID, RETURNED], customers=[ADA])
    assert sales["id"].to_pylist() == [1]
    assert sales["month"].to_pylist() == ["2026-01"]


def test_by_country(pipeline):
    given = {"orders": [PAID, RETURNED], "customers": [ADA]}
    result = pipeline("etl.yaml").run(inputs=given, until="by_country").check()
    expected = [{"country": "DE", "orders": 1, "amount": 5.0}]
    assert result["by_country"].to_pylist() == expected


def test_orders_need_a_known_customer(pipeline):
    given = {"orders": [{**PAID, "customer": 7}], "customers": [ADA]}
    result = pipeline("etl.yaml").run(inputs=given, until="by_country")
    assert [failure.node for failure in result.failures] == ["orders"]
    assert "references: customer" in result.failures[0].message
