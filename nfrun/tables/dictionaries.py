"""Gives the chunks of a column the same dictionary: batches may have different ones, which a file cannot hold."""

from __future__ import annotations

from contextlib import suppress

import pyarrow as pa

from nfrun.tables.formats import FormatError


def has_dictionary(kind: pa.DataType) -> bool:
    """Return whether the type contains a dictionary."""
    if isinstance(kind, pa.BaseExtensionType):
        kind = kind.storage_type
    parts = [kind.field(i).type for i in range(kind.num_fields)]
    return isinstance(kind, pa.DictionaryType) or any(has_dictionary(part) for part in parts)


def with_one_dictionary_each(table: pa.Table) -> pa.Table:
    """Give the chunks of each column the same dictionary. Raises FormatError."""
    for i, field in enumerate(table.schema):
        column, kind = table.column(i), field.type
        if not has_dictionary(kind):
            continue
        if isinstance(kind, pa.DictionaryType) and has_dictionary(kind.value_type):
            raise FormatError(
                f"the values of the dictionary column '{field.name}' contain dictionaries ({kind}), "
                "which an Arrow file cannot hold: decode the column with dictionary_decode()"
            )
        try:
            column = pa.table([column], pa.schema([field])).unify_dictionaries().column(0)
        except (pa.ArrowNotImplementedError, pa.ArrowInvalid) as error:  # of lists and structs, or with nulls
            found = _merged(column) if isinstance(kind, pa.DictionaryType) else None
            if found is None:
                raise FormatError(
                    f"the chunks of the column '{field.name}' ({kind}) have different dictionaries, which cannot be "
                    f"put together ({str(error).rstrip('.')}): decode it, or give all chunks the same dictionary"
                ) from None
            column = found
        table = table.set_column(i, field, column)
    return table


def _merged(column: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """Put the dictionaries of the chunks one behind the other; None if the type of the indices is too small."""
    import pyarrow.compute as pc

    kind = column.type
    dictionaries: list[pa.Array] = []
    moved: list[pa.Array] = []
    for chunk in column.chunks:
        index = next((i for i, known in enumerate(dictionaries) if known.equals(chunk.dictionary)), len(dictionaries))
        if index == len(dictionaries):
            dictionaries.append(chunk.dictionary)
        moved.append(pc.add(chunk.indices.cast(pa.int64()), sum(map(len, dictionaries[:index]))))
    whole = pa.concat_arrays(dictionaries)
    with suppress(pa.ArrowInvalid):
        chunks = [
            pa.DictionaryArray.from_arrays(indices.cast(kind.index_type), whole, ordered=kind.ordered)
            for indices in moved
        ]
        return pa.chunked_array(chunks, kind)
    return None
