"""The section `data` of a spec: a table with its target and the kinds of its columns, or images."""

from __future__ import annotations

import codecs
from collections import Counter
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator
from pydantic_core import PydanticCustomError

from gromo_graph.spec.kinds.frozen import Frozen
from gromo_graph.spec.settings import Count, as_tuple

TABLES = (".csv", ".tsv", ".txt", ".parquet", ".xlsx")
"""The endings of files that are read as tables."""

LISTS = ("drop", "numeric", "categorical", "embedding", "dates")
"""The lists of columns by their kind."""

Names = Annotated[tuple[str, ...], BeforeValidator(as_tuple)]


Target = Annotated[
    Annotated[str, Field(min_length=1), Tag("name")]
    | Annotated[tuple[str, ...], BeforeValidator(as_tuple), Field(min_length=1), Tag("names")],
    Discriminator(lambda value: "names" if isinstance(value, list | tuple) else "name"),
]


class TableData(Frozen):
    """A table to train on: the section `data` of a spec.

    Columns in none of the lists are classified by their values; `gromo-graph new table --data FILE --target NAME`
    writes the lists of a file.

    Raises:
        SpecError: an unknown key, a value of another type, or a column in two lists.

    >>> TableData(file="churn.csv", target="churned", drop=["customer_id"]).missing
    'indicator'
    """

    file: str = Field(
        min_length=1, description="The file, relative to the spec: .csv, .tsv, .txt, .parquet or .xlsx."
    )
    target: Target = Field(
        description="The column to predict; or a list of columns of numbers, of labels (0 and 1), or of numbers for "
        "several outputs with the names of the columns."
    )
    drop: Names = Field((), description="Columns to ignore.")
    numeric: Names = Field((), description="Columns of numbers.")
    categorical: Names = Field((), description="Columns of categories, which are one-hot encoded.")
    embedding: Names = Field(
        (),
        description="Columns of many categories, each read by an input of its own, with its name and the shape [1], "
        "and an `embedding` behind it.",
    )
    dates: Names = Field(
        (), description="Columns of dates, read as year, month, weekday and days since 1970."
    )
    sample_weight: str | None = Field(
        None,
        min_length=1,
        description="The column with the weight of each row in the loss, 0 or more; it is not an input.",
    )
    missing: Literal["indicator", "impute", "refuse"] = Field(
        "indicator",
        description=(
            "Treatment of gaps: `impute` fills in the median or the most frequent category of the training "
            "part, `indicator` also adds a feature that marks the gap, `refuse` reports an error."
        ),
    )
    separator: str | None = Field(
        None,
        min_length=1,
        max_length=1,
        description="Separator of the cells of a text file; detected by default.",
    )
    decimal: Literal[".", ","] | None = Field(
        None, description="Decimal mark of a text file; detected by default."
    )
    encoding: str | None = Field(
        None, description="Encoding of a text file; by default UTF-8 if the file is valid UTF-8, else cp1252."
    )
    date_format: str | None = Field(
        None, description="Format of dates, such as `%d.%m.%Y`; detected for each column by default."
    )

    @property
    def source(self) -> str:
        """The name of the file."""
        return self.file

    @property
    def targets(self) -> tuple[str, ...]:
        """The columns to predict."""
        return (self.target,) if isinstance(self.target, str) else self.target

    @property
    def columns(self) -> dict[str, str]:
        """The key of the list that names a column, by column."""
        return {name: key for key in LISTS for name in getattr(self, key)}

    @model_validator(mode="after")
    def _each_column_once(self) -> TableData:
        apart = (*self.targets, *([self.sample_weight] if self.sample_weight else []))
        named = Counter((*apart, *(name for key in LISTS for name in getattr(self, key))))
        twice = [name for name, times in named.items() if times > 1]
        if twice:
            raise PydanticCustomError(
                "contradiction",
                "the column `{name}` is named twice: keep it in one of target, sample_weight, drop, numeric, "
                "categorical, embedding and dates",
                {"name": twice[0]},
            )
        return self

    @model_validator(mode="after")
    def _a_file_of_this_machine(self) -> TableData:
        """A spec is untrusted: it names a file, never code or an address."""
        if "://" in self.file or not self.file.lower().endswith(TABLES):
            raise PydanticCustomError(
                "contradiction",
                "`file: {file}` is no table: expected the path of a file that ends in {endings}",
                {"file": self.file, "endings": ", ".join(TABLES)},
            )
        return self

    @model_validator(mode="after")
    def _a_format_of_dates(self) -> TableData:
        some_day = datetime(2024, 12, 31, tzinfo=UTC)
        try:
            datetime.strptime(some_day.strftime(self.date_format or ""), self.date_format or "")
        except ValueError:
            raise PydanticCustomError(
                "contradiction",
                "`date_format: {format}` is no format of dates: write one such as %d.%m.%Y",
                {"format": self.date_format},
            ) from None
        return self

    @model_validator(mode="after")
    def _a_known_encoding(self) -> TableData:
        try:
            codecs.lookup(self.encoding or "utf-8")
        except LookupError:
            raise PydanticCustomError(
                "contradiction",
                "`encoding: {encoding}` is unknown: write utf-8 or cp1252",
                {"encoding": self.encoding},
            ) from None
        return self


class Augment(Frozen):
    """Random changes of training images, drawn anew in each epoch."""

    flip: bool = Field(False, description="Mirror half of the images horizontally.")
    crop: int = Field(0, ge=0, description="Shift images by up to this many pixels in each direction.")
    erase: float = Field(0.0, ge=0, le=1, description="Share of the images in which a rectangle is blanked.")
    mixup: float = Field(
        0.0,
        ge=0,
        description=(
            "Mix each image with another one in shares drawn from Beta(mixup, mixup), such as 0.2; the target "
            "is one of the two, drawn with its share as the probability."
        ),
    )


UNCHANGED = Augment()
"""Images stay as they are."""


def _refuse_address(key: str, place: str, expected: str) -> None:
    """A spec is untrusted: it names a place in the file system, never code or an address."""
    if "://" in place:
        raise PydanticCustomError(
            "contradiction",
            "`{key}: {place}` is an address: expected the path of a {expected}",
            {"key": key, "place": place, "expected": expected},
        )


class ImageData(Frozen):
    """Images to train on: the other form of the section `data` of a spec.

    Images are standardised channel by channel, and stored as bytes until they are used.

    Raises:
        SpecError: an unknown key, or a value of another type.

    >>> ImageData(images="photos", augment={"flip": True}).augment.crop
    0
    """

    images: str = Field(
        min_length=1,
        description=(
            "A folder with one folder of images for each class, or an .npz file with `y` and an `x` of bytes, "
            "relative to the spec; or a data set of torchvision, `torchvision:CIFAR10`, with its own test part."
        ),
    )
    size: Annotated[tuple[Count, ...], BeforeValidator(as_tuple)] | None = Field(
        None,
        description=(
            "Height and width that images of a folder are resized to; by default all must have the same size."
        ),
    )
    augment: Augment = Field(UNCHANGED, description="Random changes of the training images.")

    @property
    def source(self) -> str:
        """The name of the file or folder."""
        return self.images

    @model_validator(mode="after")
    def _height_and_width(self) -> ImageData:
        if self.size is not None and len(self.size) != 2:
            raise PydanticCustomError(
                "contradiction",
                "`size: {size}` has {count} values: expected [height, width]",
                {"size": list(self.size), "count": len(self.size)},
            )
        return self

    @model_validator(mode="after")
    def _a_place_of_this_machine(self) -> ImageData:
        _refuse_address("images", self.images, "folder")
        return self


class TextData(Frozen):
    """A text to train on: the third form of the section `data` of a spec.

    Its bytes are the tokens: samples are windows as long as the input, and at each position the next byte is to tell.

    Raises:
        SpecError: an unknown key, or a value of another type.

    >>> TextData(text="novel.txt").source
    'novel.txt'
    """

    text: str = Field(
        min_length=1,
        description="A file, relative to the spec; or `python_docs`, the documentation that comes with Python.",
    )
    limit: Count | None = Field(None, description="Bytes at its start that are read; by default all.")

    @property
    def source(self) -> str:
        """The name of the file."""
        return self.text

    @model_validator(mode="after")
    def _a_place_of_this_machine(self) -> TextData:
        _refuse_address("text", self.text, "file")
        return self


DataSection = TableData | ImageData | TextData | None
"""The data that a spec names in a section of their own; None leaves it to `train.data`."""


def section_model(written: object) -> type[TableData] | type[ImageData] | type[TextData]:
    """The form of a section `data` that its keys speak for.

    >>> section_model({"images": "photos"}).__name__, section_model({"file": "a.csv"}).__name__
    ('ImageData', 'TableData')
    """
    keys = written if isinstance(written, dict) else {}
    if "text" in keys and "file" not in keys:
        return TextData
    return ImageData if "images" in keys else TableData
