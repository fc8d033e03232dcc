"""The file of an author, read once and replaced only if nobody else has changed it meanwhile."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gromo_graph.arguments import checked
from gromo_graph.errors import RunError
from gromo_graph.records.atomic_files import replace_unchanged
from gromo_graph.spec.load import spec_of
from gromo_graph.spec.model import HasSpec, Spec, spec_of_given
from gromo_graph.spec.text.read_file import read_document
from gromo_graph.spec.text.take_over import grown
from gromo_graph.spec.text.write_back import WrittenBack, write_back_text


@dataclass(frozen=True)
class AuthorFile:
    """A file as it was read.

    Attributes:
        name: as the user gave it. text: its content, a byte order mark included. spec: what it says.
    """

    name: str
    text: str
    spec: Spec

    @staticmethod
    def read(path: str | os.PathLike[str]) -> AuthorFile:
        """The file of a path.

        Raises:
            SpecError: it is missing or wrong.
        """
        document = read_document(path)
        return AuthorFile(document.file, document.text, spec_of(document))

    def changed(self, spec: Spec, renamed: Mapping[str, str] | None = None) -> WrittenBack:
        """The text that gives another spec (`write_back_text`); nothing is written.

        Raises:
            GraphError: the target has no spec, or no way was found that changes it without the loss of a comment.
        """
        return write_back_text(self.text, spec, renamed=renamed, file=self.name)

    def replace(self, found: WrittenBack) -> None:
        """Write a changed text into the file, as a whole or not at all; of a link, into the file it leads to.

        Raises:
            RunError: it cannot be written, or it is no longer as it was read.
        """
        if found.changed:
            replace_unchanged(Path(self.name).resolve(), self.text.encode(), found.text.encode())

    def check_writable(self) -> None:
        """Refuse a file that `replace` could not write.

        Raises:
            RunError: there is no permission.
        """
        file = Path(self.name).resolve()
        for place in (file, file.parent):
            if not os.access(place, os.W_OK):
                raise RunError(
                    f"{place}: there is no permission to write here: ask for it, or leave --write-back out"
                )


@checked
def write_back(
    path: str | os.PathLike[str], target: Spec | HasSpec, *, renamed: Mapping[str, str] | None = None
) -> WrittenBack:
    """Change the author's file so that it says what a spec, a network or a run says (`write_back_text`).

    Of a network and a run these are the nodes and outputs: the sections of the file stay, for a run may have had others
    by `--set`. The file is replaced as a whole or not at all; of a link the file it leads to.

    Args:
        path: of the document. target: a Spec, or what has one as `spec`.
        renamed: the old name of each node that has a new one.

    Raises:
        SpecError: the file is missing or wrong.
        GraphError: the target has no spec, or no way was found that changes it without the loss of a comment.
        RunError: it cannot be written, or somebody else has changed it meanwhile.
    """
    file = AuthorFile.read(path)
    spec = spec_of_given(target, "write back")
    wanted = target if isinstance(target, Spec) else grown(file.spec, file.spec, spec)
    found = file.changed(wanted, renamed)
    file.replace(found)
    return found
