"""Records for other programs: JSON, and tables with a row for each engine of a case, CSV and Parquet."""

import csv
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from ..escape import csv_cell, json
from ..networks.errors import InvalidInput
from ..run import PHASES
from .ids import CaseId
from .info import RunInfo
from .records import EngineRecord, Record, number

TEXT = ("id", "network", "dtype", "loss", "verdict", "oracle", "engine", "state", "worst", "enters_at",
        "diagnosis", "message", "problems")  # fmt: skip
WHOLE = ("depth", "batch", "seed", "agree", "quantities")
COLUMNS = (
    "id", "network", "depth", "batch", "dtype", "loss", "weight_scale", "seed", "verdict", "oracle",
    "engine", "state", "worst", "over_floor", "digits", "agree", "quantities", "enters_at", "diagnosis",
    "message", "problems", *(f"{phase}_seconds" for phase in PHASES),
)  # fmt: skip

SCHEMA = "crossgrad.records/1"
ROWS_A_BATCH = 10_000


def rows(records: Iterable[Record]) -> Iterator[dict[str, Any]]:
    """A row for each engine of each record; one without engines for a case that never ran."""
    for record in records:
        for engine in record.engines or (None,):
            yield _row(record, engine)


def write_csv(file: TextIO, records: Iterable[Record]) -> None:
    """Write rows as CSV (RFC 4180), text so that no spreadsheet takes it for a formula."""
    writer = csv.DictWriter(file, COLUMNS)
    writer.writeheader()
    for row in rows(records):
        writer.writerow({k: csv_cell(v) if isinstance(v, str) else v for k, v in row.items()})


def write_json(file: TextIO, info: RunInfo, records: Iterable[Record]) -> None:
    """Write a run as one JSON document: what is run, and each record in a line."""
    file.write(f'{{"schema":"{SCHEMA}","run":{json(info.model_dump_json())},"records":[')
    for index, record in enumerate(records):
        file.write(f"{',' if index else ''}\n{json(record.model_dump_json(exclude_defaults=True))}")
    file.write("\n]}\n")


def write_parquet(path: Path, records: Iterable[Record]) -> None:
    """Write rows as Parquet, some thousands at a time.

    Raises
    ------
    InvalidInput
        If pyarrow is not installed.
    """
    try:
        import pyarrow as pa
        from pyarrow.parquet import ParquetWriter
    except ImportError:
        raise InvalidInput('parquet needs the package pyarrow: pip install "crossgrad[parquet]"') from None
    types = {**dict.fromkeys(TEXT, pa.string()), **dict.fromkeys(WHOLE, pa.int64())}
    schema = pa.schema([(name, types.get(name, pa.float64())) for name in COLUMNS])
    remaining = rows(records)
    with ParquetWriter(path, schema) as writer:
        while batch := list(islice(remaining, ROWS_A_BATCH)):
            writer.write_table(pa.Table.from_pylist(batch, schema))


def _row(record: Record, engine: EngineRecord | None) -> dict[str, Any]:
    case = CaseId.parse(record.id)
    found = {
        "id": record.id,
        "network": case.network_name,
        "depth": case.depth,
        "batch": case.batch,
        "dtype": case.dtype,
        "loss": case.loss,
        "weight_scale": case.weight_scale,
        "seed": case.seed,
        "verdict": record.verdict,
        "oracle": record.oracle,
        "problems": "; ".join(record.problems),
    }
    if engine is None:
        return found
    return found | {
        "engine": engine.engine,
        "state": engine.state,
        "worst": engine.worst,
        "over_floor": number(engine.over_floor),
        "digits": number(engine.digits),
        "agree": engine.quantities.get("agree", 0),
        "quantities": sum(engine.quantities.values()),
        "enters_at": engine.enters_at,
        "diagnosis": engine.diagnosis,
        "message": engine.message,
        **{f"{phase}_seconds": engine.seconds.get(phase) for phase in PHASES},
    }
