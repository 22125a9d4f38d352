"""Seven queries of TPC-H as functions of data frames, as somebody writes them who uses pandas, dask or Hamilton.

The arguments have the names of the tables. pandas and dask take the same calls. Each answer is a frame with the columns
of the query in `tpch_queries`, in any order of its rows.
"""

from __future__ import annotations

from datetime import date
from typing import Any

# The columns that the queries read, which pandas and Hamilton must be told: dask finds them itself.
COLUMNS = {
    "lineitem": (
        *("l_orderkey", "l_partkey", "l_suppkey", "l_quantity", "l_extendedprice", "l_discount", "l_tax"),
        *("l_returnflag", "l_linestatus", "l_shipdate", "l_commitdate", "l_receiptdate", "l_shipmode"),
    ),
    "orders": ("o_orderkey", "o_custkey", "o_orderdate", "o_shippriority", "o_orderpriority"),
    "customer": (
        *("c_custkey", "c_name", "c_acctbal", "c_address", "c_phone", "c_comment", "c_mktsegment", "c_nationkey"),
    ),
    "part": ("p_partkey", "p_type"),
    "supplier": ("s_suppkey", "s_nationkey"),
    "nation": ("n_nationkey", "n_name", "n_regionkey"),
    "region": ("r_regionkey", "r_name"),
}


def q01(lineitem: Any) -> Any:
    """Sum up the shipped items."""
    items = lineitem[lineitem.l_shipdate <= date(1998, 9, 2)]
    items = items.assign(price=items.l_extendedprice * (1 - items.l_discount))
    items = items.assign(charge=items.price * (1 + items.l_tax))
    return (
        items.groupby(["l_returnflag", "l_linestatus"])
        .agg(
            sum_qty=("l_quantity", "sum"),
            sum_base_price=("l_extendedprice", "sum"),
            sum_disc_price=("price", "sum"),
            sum_charge=("charge", "sum"),
            avg_qty=("l_quantity", "mean"),
            avg_price=("l_extendedprice", "mean"),
            avg_disc=("l_discount", "mean"),
            count_order=("l_quantity", "count"),
        )
        .reset_index()
    )


def q03(customer: Any, orders: Any, lineitem: Any) -> Any:
    """Find the orders of one kind of customers with the highest revenue that are not shipped."""
    day = date(1995, 3, 15)
    builders = customer[customer.c_mktsegment == "BUILDING"][["c_custkey"]]
    before = orders[orders.o_orderdate < day][["o_orderkey", "o_custkey", "o_orderdate", "o_shippriority"]]
    after = lineitem[lineitem.l_shipdate > day][["l_orderkey", "l_extendedprice", "l_discount"]]
    found = before.merge(builders, left_on="o_custkey", right_on="c_custkey")
    found = after.merge(found, left_on="l_orderkey", right_on="o_orderkey")
    found = found.assign(revenue=found.l_extendedprice * (1 - found.l_discount))
    sums = found.groupby(["l_orderkey", "o_orderdate", "o_shippriority"])["revenue"].sum().reset_index()
    return sums.nlargest(10, "revenue")[["l_orderkey", "revenue", "o_orderdate", "o_shippriority"]]


def q05(customer: Any, orders: Any, lineitem: Any, supplier: Any, nation: Any, region: Any) -> Any:
    """Sum up what suppliers of a region sold to customers of their own nation."""
    asia = nation.merge(region[region.r_name == "ASIA"], left_on="n_regionkey", right_on="r_regionkey")
    asia = asia[["n_nationkey", "n_name"]]
    sellers = supplier.merge(asia, left_on="s_nationkey", right_on="n_nationkey")
    year = orders[(orders.o_orderdate >= date(1994, 1, 1)) & (orders.o_orderdate < date(1995, 1, 1))]
    buyers = customer[["c_custkey", "c_nationkey"]]
    year = year[["o_orderkey", "o_custkey"]].merge(buyers, left_on="o_custkey", right_on="c_custkey")
    items = lineitem[["l_orderkey", "l_suppkey", "l_extendedprice", "l_discount"]]
    found = items.merge(year, left_on="l_orderkey", right_on="o_orderkey")
    found = found.merge(sellers, left_on=["l_suppkey", "c_nationkey"], right_on=["s_suppkey", "s_nationkey"])
    found = found.assign(revenue=found.l_extendedprice * (1 - found.l_discount))
    return found.groupby("n_name")["revenue"].sum().reset_index()


def q06(lineitem: Any) -> Any:
    """Sum up what a smaller discount would have brought."""
    items = lineitem[
        (lineitem.l_shipdate >= date(1994, 1, 1))
        & (lineitem.l_shipdate < date(1995, 1, 1))
        & (lineitem.l_discount >= 0.05)
        & (lineitem.l_discount <= 0.07)
        & (lineitem.l_quantity < 24)
    ]
    items = items.assign(revenue=items.l_extendedprice * items.l_discount, all="")
    return items.groupby("all")["revenue"].sum().reset_index()[["revenue"]]


def q10(customer: Any, orders: Any, lineitem: Any, nation: Any) -> Any:
    """Find the customers who returned the most."""
    quarter = orders[(orders.o_orderdate >= date(1993, 10, 1)) & (orders.o_orderdate < date(1994, 1, 1))]
    returned = lineitem[lineitem.l_returnflag == "R"][["l_orderkey", "l_extendedprice", "l_discount"]]
    found = returned.merge(quarter[["o_orderkey", "o_custkey"]], left_on="l_orderkey", right_on="o_orderkey")
    found = found.assign(revenue=found.l_extendedprice * (1 - found.l_discount))
    best = found.groupby("o_custkey")["revenue"].sum().reset_index().nlargest(20, "revenue")
    found = customer.merge(best, left_on="c_custkey", right_on="o_custkey")
    found = found.merge(nation, left_on="c_nationkey", right_on="n_nationkey")
    columns = ["c_custkey", "c_name", "revenue", "c_acctbal", "n_name", "c_address", "c_phone", "c_comment"]
    return found[columns]


def q12(orders: Any, lineitem: Any) -> Any:
    """Count urgent orders that came late, by how they were shipped."""
    items = lineitem[
        lineitem.l_shipmode.isin(["MAIL", "SHIP"])
        & (lineitem.l_commitdate < lineitem.l_receiptdate)
        & (lineitem.l_shipdate < lineitem.l_commitdate)
        & (lineitem.l_receiptdate >= date(1994, 1, 1))
        & (lineitem.l_receiptdate < date(1995, 1, 1))
    ][["l_orderkey", "l_shipmode"]]
    found = items.merge(orders[["o_orderkey", "o_orderpriority"]], left_on="l_orderkey", right_on="o_orderkey")
    is_high = found.o_orderpriority.isin(["1-URGENT", "2-HIGH"])
    found = found.assign(high_line_count=is_high.astype("int64"), low_line_count=(~is_high).astype("int64"))
    return found.groupby("l_shipmode")[["high_line_count", "low_line_count"]].sum().reset_index()


def q14(lineitem: Any, part: Any) -> Any:
    """Find the share of promotions in the revenue of a month."""
    month = lineitem[(lineitem.l_shipdate >= date(1995, 9, 1)) & (lineitem.l_shipdate < date(1995, 10, 1))]
    month = month[["l_partkey", "l_extendedprice", "l_discount"]]
    found = month.merge(part, left_on="l_partkey", right_on="p_partkey")
    found = found.assign(all="", revenue=found.l_extendedprice * (1 - found.l_discount))
    found = found.assign(promo=found.revenue.where(found.p_type.str.startswith("PROMO"), 0.0))
    sums = found.groupby("all")[["promo", "revenue"]].sum().reset_index()
    return sums.assign(promo_revenue=100 * sums.promo / sums.revenue)[["promo_revenue"]]
