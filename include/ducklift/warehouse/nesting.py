"""Records whose objects are spread over columns, with their lists left out for child tables: `nested: tables`, seen as a reader.

A field inside objects is named by its JSON pointer, `/user/name`; one at the top by its plain name. What a value is decides row by row
where it goes, so that no load depends on another: an object to the fields in it, a list to a child table, anything else to a column.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from ducklift.warehouse.connect import Warehouse
from ducklift.warehouse.identifiers import quote_literal
from ducklift.warehouse.naming import snake_case
from ducklift.warehouse.readers import Reader, Relation, Shape

MAX_DEPTH = 5
"""A value this deep in its record stays JSON, whatever is in it."""

LISTS = "/~lists"  # no name of a field: in a pointer, a tilde is followed by 0 or 1
_LISTS_COLUMN = "_lists_hash"


def parts_of(field: str) -> tuple[str, ...]:
    """Return the names on the way to a field."""
    if not field.startswith("/"):
        return (field,)
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in field[1:].split("/"))


def field_of(parts: Sequence[str]) -> str:
    """Return how the field at the end of these names is called."""
    if len(parts) == 1 and not parts[0].startswith("/"):
        return parts[0]
    return pointer_of(parts)


def pointer_of(parts: Iterable[str]) -> str:
    """Return the JSON pointer of these names."""
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in parts)


def column_name_of(field: str) -> str:
    """Return the column name of a field: `/user/firstName` gives `user__first_name`."""
    return _LISTS_COLUMN if field == LISTS else "__".join(map(snake_case, parts_of(field)))


@dataclass(frozen=True)
class NestedReader(Reader):
    """A reader of JSON with its objects spread. `depth` is how deep its records lie in those of the load.

    `kept` are fields that are never taken apart, `split` those in which this load has objects or lists, `found` the fields that may make
    columns, `lists` those with elements. The field `LISTS` is a hash of a record's lists, so that records that differ in them alone differ.
    """

    inner: Reader
    depth: int = 0
    kept: frozenset[str] = frozenset()
    split: frozenset[str] = frozenset()
    found: tuple[str, ...] = ()
    lists: tuple[str, ...] = ()

    def slower(self) -> Reader | None:
        """Return the next more patient way of the reader inside."""
        inner = self.inner.slower()
        return replace(self, inner=inner) if inner else None

    def fields(self, warehouse: Warehouse) -> list[str]:
        """Return the fields that may make columns."""
        del warehouse
        return list(self.found)

    def relation(self, warehouse: Warehouse, wanted: Mapping[str, Shape], *, with_record: bool = False) -> Relation:
        """Return the relation; objects and lists are NULL in it where they are taken apart."""
        needed = dict.fromkeys([*(name for name in wanted if name != LISTS), *(self.lists if LISTS in wanted else ())])
        plain = {name for name in needed if len(parts_of(name)) == 1 and name not in self.split and wanted.get(name) == "VARCHAR"}
        inside = {parts_of(name)[0] for name in needed if name not in plain}
        tops: dict[str, Shape] = {top: "JSON" if top in inside else "VARCHAR" for top in (parts_of(name)[0] for name in needed)}
        below = self.inner.relation(warehouse, tops, with_record=with_record)
        sql, values = _extracted(below, needed)
        fields = {}
        for name, shape in wanted.items():
            if name == LISTS:
                fields[name] = _as_shape(self._hash(values), shape)
            elif name in plain and parts_of(name)[0] not in inside:
                fields[name] = values[name]
            else:
                fields[name] = _as_shape(_apart(values[name]) if name in self.split else values[name], shape)
        return Relation(sql, fields, below.broken, below.whole)

    def whole(self, warehouse: Warehouse, fields: Sequence[str]) -> Relation:
        """Return the relation of fields as JSON, with the objects and lists in them."""
        return replace(self, split=frozenset()).relation(warehouse, dict.fromkeys(fields, "JSON"))

    def _hash(self, values: Mapping[str, str]) -> str:
        if not self.lists:
            return "CAST(NULL AS JSON)"
        # An empty list is as none, whether or not other records of the load have elements there: the hash must not depend on them.
        texts = ", ".join(f"{quote_literal(name)} || nullif({_list(values[name])}, '[]')" for name in sorted(self.lists))
        return f"to_json(md5(nullif(concat_ws(chr(31), {texts}), '')))"


def unfolded(warehouse: Warehouse, inner: Reader, names: Iterable[str], kept: Collection[str] = (), depth: int = 0) -> NestedReader:
    """Return a reader that has looked into the records for objects and lists, level by level down to `MAX_DEPTH`."""
    reader = NestedReader(inner.files, inner, depth, frozenset(kept))
    level, found, lists, split = [field_of((name,)) for name in names], [], [], set()
    while level:
        found += level
        within = [name for name in level if name not in reader.kept and depth + len(parts_of(name)) < MAX_DEPTH]
        shapes = _shapes(warehouse, reader, within)
        split |= {name for name, (has_object, has_list, _) in shapes.items() if has_object or has_list}
        lists += [name for name, (_, _, has_elements) in shapes.items() if has_elements]
        level = _inside(warehouse, reader, [name for name, (has_object, _, _) in shapes.items() if has_object])
    return replace(reader, split=frozenset(split), found=tuple(found), lists=tuple(lists))


def _shapes(warehouse: Warehouse, reader: NestedReader, names: Sequence[str]) -> dict[str, tuple[bool, bool, bool]]:
    """Return of each field whether the load has objects, lists and lists with elements in it, by one pass."""
    if not names:
        return {}
    relation = reader.whole(warehouse, names)
    conditions = []
    for name in names:
        value = relation.fields[name]
        is_list = f"{_begins(value)} = '['"
        conditions += [f"{_begins(value)} = '{{'", is_list, f"{is_list} AND {value}::VARCHAR <> '[]'"]
    found = ", ".join(f"coalesce(bool_or({condition}), false)" for condition in conditions)
    flags = warehouse.rows(f"SELECT {found} FROM ({relation.sql})")[0]
    return {name: (flags[3 * index], flags[3 * index + 1], flags[3 * index + 2]) for index, name in enumerate(names)}


def _inside(warehouse: Warehouse, reader: NestedReader, objects: Sequence[str]) -> list[str]:
    """Return the fields inside these objects."""
    if not objects:
        return []
    relation = reader.whole(warehouse, objects)
    keys = ", ".join(f"{{'field': {index}, 'keys': json_keys({relation.fields[name]})}}" for index, name in enumerate(objects))
    rows = warehouse.rows(
        f"SELECT DISTINCT found.field, unnest(found.keys) AS key FROM (SELECT unnest([{keys}]) AS found FROM ({relation.sql})) ORDER BY ALL"
    )
    return [field_of((*parts_of(objects[index]), key)) for index, key in rows]


def _extracted(below: Relation, needed: Iterable[str]) -> tuple[str, dict[str, str]]:
    """Return the SQL of the relation with the fields inside objects added, and each field's value in it."""
    values: dict[str, str] = {}
    deep: dict[str, list[tuple[str, list[str]]]] = {}
    for name in needed:
        top, *rest = parts_of(name)
        values[name] = below.fields[top]
        if rest:
            deep.setdefault(top, []).append((name, rest))
    added = []
    for index, (top, inside) in enumerate(deep.items()):
        paths = ", ".join(quote_literal(_path(rest)) for _, rest in inside)
        added.append(f"json_extract({below.fields[top]}, [{paths}, '/ /none']) AS inside_{index}")
        for place, (name, _) in enumerate(inside, start=1):
            values[name] = f"nullif(inside_{index}[{place}], 'null'::JSON)"
    return f"SELECT {', '.join(['*', *added])} FROM ({below.sql})" if added else below.sql, values


def _path(parts: Sequence[str]) -> str:
    # A pointer takes any name, but its digits would also count elements of a list.
    if any(part.isdigit() for part in parts):
        return "$" + "".join('."' + part.replace("\\", "\\\\").replace('"', '\\"') + '"' for part in parts)
    return pointer_of(parts)


def _begins(value: str) -> str:
    return f"({value}::VARCHAR)[1]"


def _list(value: str) -> str:
    return f"CASE WHEN {_begins(value)} = '[' THEN {value}::VARCHAR END"


def _apart(value: str) -> str:
    return f"CASE WHEN {_begins(value)} NOT IN ('{{', '[') THEN {value} END"


def _as_shape(value: str, shape: Shape) -> str:
    return value if shape == "JSON" else f"({value} ->> '$')"
