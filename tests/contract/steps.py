"""The functions of spaceflights.yaml: how much does a shuttle cost? The data sheet of Excel is read without Excel."""

import pickle
import re
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc


def read_excel(path: Path) -> pa.Table:
    """Return the first sheet, with texts in the cells."""
    with zipfile.ZipFile(path) as file:
        sheet = file.read("xl/worksheets/sheet1.xml").decode()
    rows = [re.findall("<t>(.*?)</t>", row) for row in re.findall("<row>(.*?)</row>", sheet)]
    return pa.table({name: [row[i] for row in rows[1:]] for i, name in enumerate(rows[0])})


def preprocess_companies(companies: pa.Table) -> pa.Table:
    """Return the companies with their ratings as numbers."""
    rating = pc.cast(pc.replace_substring(companies["company_rating"], "%", ""), pa.float64())
    return pa.table({"company": companies["id"], "company_rating": rating})


def preprocess_shuttles(shuttles: pa.Table) -> pa.Table:
    """Return the shuttles with numbers; prices are written as $1,325."""
    numbers = {name: pc.cast(shuttles[name], pa.float64()) for name in ("engines", "passenger_capacity", "crew")}
    price = pc.cast(pc.replace_substring_regex(shuttles["price"], "[$,]", ""), pa.float64())
    ids = {name: pc.cast(shuttles[name], pa.int64()) for name in ("id", "company")}
    return pa.table({**ids, **numbers, "price": price})


def create_model_input(shuttles: pa.Table, companies: pa.Table, reviews: pa.Table) -> pa.Table:
    """Return a row for each shuttle that has a company and a review, in the order of their ids."""
    with_company = shuttles.join(companies, "company", join_type="inner")
    return with_company.join(reviews, "id", "shuttle_id", join_type="inner").sort_by("id")


def split_data(data: pa.Table, features: Sequence[str], test_size: float, random_state: int) -> dict[str, pa.Table]:
    """Return features and prices to learn from, and to test with."""
    count = round(data.num_rows * test_size)
    is_test = pa.array([(i + random_state) % data.num_rows < count for i in range(data.num_rows)])
    train, test = data.filter(pc.invert(is_test)), data.filter(is_test)
    x_train, x_test = train.select(list(features)), test.select(list(features))
    return {"x_train": x_train, "x_test": x_test, "y_train": train.select(["price"]), "y_test": test.select(["price"])}


def train(x: pa.Table, y: pa.Table) -> bytes:
    """Return the model: a price for each engine, and one for the shuttle."""
    engines, price = x["engines"], y["price"]
    mean_x, mean_y = pc.mean(engines).as_py(), pc.mean(price).as_py()
    deviation = pc.subtract(engines, mean_x)
    slope = (
        pc.sum(pc.multiply(deviation, pc.subtract(price, mean_y))).as_py()
        / pc.sum(pc.multiply(deviation, deviation)).as_py()
    )
    return pickle.dumps({"slope": slope, "intercept": mean_y - slope * mean_x})


def evaluate(regressor: Path, x: pa.Table, y: pa.Table) -> dict[str, float]:
    """Return the largest error of the model."""
    model = pickle.loads(regressor.read_bytes())
    guess = pc.add(pc.multiply(x["engines"], model["slope"]), model["intercept"])
    return {"max_error": pc.max(pc.abs(pc.subtract(guess, y["price"]))).as_py()}
