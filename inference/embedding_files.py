"""Files of embeddings: those that a run writes batch by batch, and the two formats of what it ends with."""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from pyarrow import parquet
from safetensors.torch import save

from textgenome.data.files import read_json, write_json
from textgenome.data.settings import SETTINGS


SHARD_BYTES = 2**28
GROUP_BYTES = 2**24  # of rows that are written at once
ROW_BYTES = 2**10  # about what the place of a row takes until then
METADATA = "textgenome"
SUFFIX = ".parquet"
PLACE = {"row": pa.int64(), "name": pa.string(), "allele": pa.string(), "contig": pa.string(), "start": pa.int64()}
PLACE |= {"end": pa.int64(), "strand": pa.string()}
TILE = {"tile_start": pa.int64(), "tile_end": pa.int64()}


def vectors_array(vectors: np.ndarray) -> pa.FixedSizeListArray:
    """`(rows, width)`, float32."""
    return pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])


def lists_array(lengths: list[int], values: pa.Array) -> pa.ListArray:
    """So many of the values for each row."""
    return pa.ListArray.from_arrays(pa.array(np.cumsum([0, *lengths]), pa.int32()), values)


def values_columns(values: list[torch.Tensor], spans: list[torch.Tensor]) -> dict[str, pa.Array]:
    """Pooled vectors `(width,)` in the column `embedding`; or all states `(states, width)` in `states`, and how many
    bases each covers in `spans`."""
    if values[0].dim() == 1:
        return {"embedding": vectors_array(torch.stack(values).numpy())}
    lengths = list(map(len, values))
    covered = pa.array(torch.cat(spans).numpy().astype(np.int32))
    states = vectors_array(torch.cat(values).numpy())
    return {"states": lists_array(lengths, states), "spans": lists_array(lengths, covered)}


def write_piece(path: Path, tiles: list[int], found: list[tuple[torch.Tensor, torch.Tensor]]) -> None:
    """Write what a batch of tiles is. The file is there only once it is whole."""
    columns = {"tile": pa.array(tiles, pa.int64()), **values_columns(*map(list, zip(*found)))}
    unfinished = path.with_suffix(".unfinished")
    parquet.write_table(pa.table(columns), unfinished, compression="none")
    os.replace(unfinished, path)


def read_pieces(paths: Iterable[Path]) -> list[tuple[torch.Tensor, torch.Tensor | None]]:
    """What the tiles of some batches are, in the order of their numbers, as `write_piece` got them; of pooled ones no
    spans."""
    found = {}
    for path in paths:
        table = parquet.read_table(path)
        tiles = table["tile"].to_pylist()
        if "embedding" in table.column_names:
            rows = _vectors(table["embedding"].combine_chunks())
            found |= {tile: (row, None) for tile, row in zip(tiles, rows)}
            continue
        states, spans = (table[name].combine_chunks() for name in ("states", "spans"))
        lengths = np.diff(states.offsets.to_numpy()).tolist()
        rows = zip(_vectors(states.values).split(lengths), _tensor(spans.values).split(lengths))
        found |= dict(zip(tiles, rows))
    return [found[tile] for tile in sorted(found)]


def _tensor(values: pa.Array) -> torch.Tensor:
    return torch.from_numpy(values.to_numpy(zero_copy_only=False).copy())


def _vectors(array: pa.FixedSizeListArray) -> torch.Tensor:
    return _tensor(array.values).view(len(array), -1)


class EmbeddingsWriter:
    """Writes rows to a Parquet file, or to a folder of safetensors files with `rows.parquet` beside them.

    Rows are gathered until they are worth a write. What is written is unfinished until `close`.

    Args:
        place: The file or folder, which must not be there.
        settings: Of the run; kept in the metadata of the file, or beside the files of the folder.
        columns: Names and types of what rows say of their places, in the order of the columns.
    """

    def __init__(self, place: Path, settings: dict, columns: Mapping[str, pa.DataType]):
        self.place, self.columns = place, columns
        self.text = json.dumps(settings, sort_keys=True)
        self.is_file = place.suffix == SUFFIX
        self.rows, self.values, self.spans, self.size = [], [], [], 0
        self.writer, self.shards = None, 0
        if not self.is_file:
            place.mkdir()
            write_json(place / SETTINGS, settings)

    def add(self, row: Mapping, value: torch.Tensor, spans: torch.Tensor | None) -> None:
        """A row: its place by the names of the columns, its vector or states, and the spans of these."""
        self.rows.append(row)
        self.values.append(value)
        self.spans.append(spans)
        self.size += value.nbytes + ROW_BYTES
        if self.size >= (GROUP_BYTES if self.is_file else SHARD_BYTES):
            self._write()

    def close(self) -> None:
        if self.rows:
            self._write()
        if self.writer is not None:
            self.writer.close()

    def _write(self) -> None:
        columns = {name: pa.array([row[name] for row in self.rows], kind) for name, kind in self.columns.items()}
        if self.is_file:
            columns |= values_columns(self.values, self.spans)
        else:
            self.shards += 1
            name = f"embeddings-{self.shards:05d}.safetensors"
            columns["file"] = pa.array([name] * len(self.rows))
            (self.place / name).write_bytes(save(self._tensors(), {METADATA: self.text}))
        table = pa.table(columns).replace_schema_metadata({METADATA: self.text})
        if self.writer is None:
            path = self.place if self.is_file else self.place / "rows.parquet"
            self.writer = parquet.ParquetWriter(path, table.schema)
        self.writer.write_table(table)
        self.rows, self.values, self.spans, self.size = [], [], [], 0

    def _tensors(self) -> dict[str, torch.Tensor]:
        if self.spans[0] is None:
            return {"embeddings": torch.stack(self.values)}
        lengths = torch.tensor(list(map(len, self.values)))
        return {"states": torch.cat(self.values), "spans": torch.cat(self.spans), "lengths": lengths}


def settings_of(place: Path) -> dict | None:
    """The settings of the run that ended with a file or folder; None if they are not there.

    Raises:
        ValueError: If there is something else.
    """
    if not os.path.lexists(place):
        return None
    try:
        if place.is_dir():
            found = read_json(place / SETTINGS)
        else:
            metadata = parquet.read_schema(place).metadata or {}
            found = json.loads(metadata.get(METADATA.encode(), b"null"))
    except (pa.ArrowException, OSError, ValueError):
        found = None
    if not found:
        raise ValueError(f"{place} is there already, and holds something else. Name another output.")
    return found


__all__ = ["PLACE", "SUFFIX", "TILE", "EmbeddingsWriter", "read_pieces", "settings_of", "write_piece"]
