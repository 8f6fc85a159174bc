"""How a pipeline file says in which way an API hands out its pages: the `paginator:` of a REST source."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from ducklift.sources.json_paths import JsonPath
from ducklift.specs import Spec

Count = Annotated[int, Field(strict=True, ge=0)]


class Auto(Spec):
    """Found out from the first answer: a link header, or a link in the body. An answer that looks otherwise paginated is an error."""

    type: Literal["auto"] = "auto"


class SinglePage(Spec):
    """One answer holds everything."""

    type: Literal["single_page"]


class HeaderLink(Spec):
    """The URL of the next page stands in the header `Link`, under this relation."""

    type: Literal["header_link"]
    links_next_key: str = "next"


class JsonLink(Spec):
    """The URL of the next page stands in the answer."""

    type: Literal["json_link"]
    next_url_path: JsonPath = "next"


class HeaderCursor(Spec):
    """A cursor for the next page stands in a header, and is sent as a parameter."""

    type: Literal["header_cursor"]
    cursor_key: str = "next"
    cursor_param: str = "cursor"


class Cursor(Spec):
    """A cursor for the next page stands in the answer, and is sent as a parameter or inside the body."""

    type: Literal["cursor"]
    cursor_path: JsonPath = "cursors.next"
    cursor_param: str | None = None
    cursor_body_path: str | None = None
    stop_after_empty_page: bool = False
    has_more_path: JsonPath | None = None

    @model_validator(mode="after")
    def _one_place(self) -> Cursor:
        if self.cursor_param and self.cursor_body_path:
            raise ValueError("the cursor is sent either as cursor_param or at cursor_body_path, not both")
        return self


class Offset(Spec):
    """So many records from the n-th on. `total_path` leads to the number of all records."""

    type: Literal["offset"]
    limit: int = Field(strict=True, gt=0)
    short_pages: bool = Field(default=False, description="A page before the last may have fewer records than the limit.")
    offset: Count = 0
    offset_param: str = "offset"
    offset_body_path: str | None = None
    limit_param: str = "limit"
    limit_body_path: str | None = None
    total_path: JsonPath | None = None
    maximum_offset: Count | None = None
    stop_after_empty_page: bool = True
    has_more_path: JsonPath | None = None


class PageNumber(Spec):
    """The n-th page. `total_path` leads to the number of all pages."""

    type: Literal["page_number"]
    base_page: Count = 0
    page: Count | None = Field(default=None, description="The first page to read; base_page when absent.")
    page_param: str = "page"
    page_body_path: str | None = None
    total_path: JsonPath | None = None
    maximum_page: Count | None = None
    stop_after_empty_page: bool = True
    has_more_path: JsonPath | None = None


def _typed(value: Any) -> Any:
    return {"type": value} if isinstance(value, str) else value


def _has_an_end(value: Any) -> Any:
    if isinstance(value, Offset | PageNumber) and not value.stop_after_empty_page and not value.total_path and not value.has_more_path:
        most = value.maximum_offset if isinstance(value, Offset) else value.maximum_page
        if most is None:
            raise ValueError("nothing ends this listing: give total_path, has_more_path, a maximum, or stop_after_empty_page: true")
    return value


Paginator = Annotated[
    Annotated[Auto | SinglePage | HeaderLink | JsonLink | HeaderCursor | Cursor | Offset | PageNumber, Field(discriminator="type")],
    BeforeValidator(_typed),
    AfterValidator(_has_an_end),
]
