"""Reads the options of custom operators: maps in FlexBuffers, the format without a schema."""

from __future__ import annotations

from typing import Any

from flatbuffers import flexbuffers


def read_options(data: bytes) -> dict[str, int | float | bool]:
    """The numbers in the map of a node's custom options, by name; other values are left out.

    Raises:
      ValueError: there is no map, or it is damaged.
    """
    try:
        root: Any = flexbuffers.GetRoot(data)
        if not root.IsMap:
            raise ValueError("its options are no FlexBuffers map")
        table: Any = root.AsMap
        if len(table) > len(data):
            raise ValueError("its options are a damaged FlexBuffers map")
        found: dict[str, int | float | bool] = {}
        for key, value in zip(table.Keys, table.Values, strict=True):
            if value.IsBool or value.IsInt or value.IsFloat:
                name = str(key.AsKey)
                found[name] = value.AsBool if value.IsBool else value.AsInt if value.IsInt else value.AsFloat
    except ValueError:
        raise
    except Exception as error:  # it indexes without looking, so that any error may come of damaged bytes
        raise ValueError(f"its options are a damaged FlexBuffers map: {error}") from error
    return found
