"""Forms of work on subtrees. Each makes the parameters of a job."""

import re
from datetime import UTC, datetime
from typing import Any, Final

from django import forms
from django.core.exceptions import ValidationError

from console.forms.base import PlaneForm, lines
from tenants.bulk.bounds import ACL_ENTRIES_MAX, PATH_BYTES_MAX
from tenants.bulk.steps import acl_of
from tenants.errors import InvalidError

ZXID: Final = re.compile(r"(0x[0-9a-fA-F]{1,16}|[0-9]{1,19})")
TIMES: Final = ("%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S")
EPHEMERALS: Final = (
    ("leave", "Leave them out: they belong to sessions"),
    ("persist", "Make them persistent"),
)
WITHOUT: Final = (
    ("create", "Create what is missing"),
    ("set", "Set back what differs"),
    ("delete", "Delete what came later"),
    ("acl", "Set ACLs back, which owners may"),
)


class PathField(forms.CharField):
    """A znode's path."""

    def __init__(self, label: str, help_text: str = "") -> None:
        super().__init__(
            label=label,
            help_text=help_text,
            max_length=PATH_BYTES_MAX,
            strip=False,
            widget=forms.TextInput(attrs={"spellcheck": "false", "autocomplete": "off"}),
        )


class BulkForm(PlaneForm):
    """`parameters` of the job, from what was filled in."""

    path = PathField("Path", "this znode and all below it")

    def parameters(self) -> dict[str, Any]:
        return {name: value for name, value in self.cleaned_data.items() if name != "path"}


class DuplicateForm(BulkForm):
    to = PathField("Copy to", "a path that is not there yet; what is missing above it is made")
    ephemerals = forms.ChoiceField(
        label="Ephemeral znodes", choices=EPHEMERALS, widget=forms.RadioSelect, initial="leave"
    )


class MoveForm(DuplicateForm):
    to = PathField("Move to", "a path that is not there yet; what is missing above it is made")


class DeleteForm(BulkForm):
    pass


class AclForm(BulkForm):
    how = forms.ChoiceField(
        label="What to do",
        choices=(
            ("add", "Add these entries"),
            ("remove", "Take these permissions away"),
            ("set", "Replace every ACL by these entries"),
        ),
        widget=forms.RadioSelect,
        initial="add",
    )
    acl = forms.CharField(
        label="Entries",
        help_text="one a line, scheme:id:cdrwa. c create, d delete, r read, w write, a admin: "
        "world:anyone:r, ip:10.0.0.0/8:rw, digest:app:hash:cdrwa",
        widget=forms.Textarea(attrs={"rows": 4, "spellcheck": "false"}),
        max_length=20_000,
    )

    def clean_acl(self) -> list[str]:
        entries = lines(self.cleaned_data["acl"])
        if not 0 < len(entries) <= ACL_ENTRIES_MAX:
            raise ValidationError(f"{len(entries)} entries; 1 to {ACL_ENTRIES_MAX} are taken")
        for entry in entries:
            try:
                acl_of(entry)
            except InvalidError as error:
                raise ValidationError(str(error)) from None
        return entries


class ExportForm(BulkForm):
    form = forms.ChoiceField(
        label="File",
        choices=(
            ("json", "JSON: one znode a line, to be read and imported again"),
            ("json.gz", "JSON, compressed"),
            ("zip", "Archive (zip): each value is a file"),
        ),
        widget=forms.RadioSelect,
        initial="json",
    )
    at = forms.CharField(
        label="As it was at",
        required=False,
        help_text="empty: as it is now; or a time in UTC, 2026-11-21 15:04:05, or a zxid, 0x1f",
        max_length=40,
        widget=forms.TextInput(attrs={"spellcheck": "false", "autocomplete": "off"}),
    )
    secrets = forms.BooleanField(
        label="With the values of secret paths",
        required=False,
        help_text="without, the file says which were left out",
    )

    def clean_at(self) -> dict[str, int]:
        text = self.cleaned_data["at"]
        return moment_of(text) if text.strip() else {}

    def parameters(self) -> dict[str, Any]:
        found = super().parameters()
        return {**found, **found.pop("at")}


class ImportForm(BulkForm):
    path = PathField("Import below", "what is in the file stands below this path")
    file = forms.FileField(
        label="File",
        help_text="JSON or archive of this console, ZooNavigator's JSON, or lines path=name=value "
        "as zkui's; compressed by gzip or not; 32 MiB at most",
        widget=forms.FileInput(),
    )
    mode = forms.ChoiceField(
        label="What is there already, with another value",
        choices=(
            ("skip", "Keep it"),
            ("overwrite", "Overwrite it"),
            ("fail", "Import nothing then"),
        ),
        widget=forms.RadioSelect,
        initial="skip",
    )
    acl = forms.ChoiceField(
        label="ACLs of what is new",
        choices=(("file", "Those of the file"), ("open", "Open to everybody within the tree")),
        widget=forms.RadioSelect,
        initial="file",
    )
    ephemerals = forms.ChoiceField(
        label="Ephemeral znodes", choices=EPHEMERALS, widget=forms.RadioSelect, initial="leave"
    )

    def parameters(self) -> dict[str, Any]:
        found = super().parameters()
        sent = found.pop("file")
        return {**found, "named": str(sent.name)[:200]}


class RestoreForm(BulkForm):
    at = forms.CharField(
        label="As it was at",
        help_text="a time in UTC, 2026-11-21 15:04:05, or a zxid, 0x1f",
        max_length=40,
        widget=forms.TextInput(attrs={"spellcheck": "false", "autocomplete": "off"}),
    )
    what = forms.MultipleChoiceField(
        label="What to do",
        choices=WITHOUT,
        widget=forms.CheckboxSelectMultiple,
        initial=[name for name, _ in WITHOUT],
    )

    def clean_at(self) -> dict[str, int]:
        return moment_of(self.cleaned_data["at"])

    def parameters(self) -> dict[str, Any]:
        chosen = self.cleaned_data["what"]
        without = [name for name, _ in WITHOUT if name not in chosen]
        return {**self.cleaned_data["at"], "without": without}


def moment_of(text: str) -> dict[str, int]:
    """`at_ms` or `zxid`, as the restore takes them.

    Raises:
        ValidationError: it is neither.
    """
    text = text.strip().removesuffix("Z")
    if ZXID.fullmatch(text):
        zxid = int(text, 0)
        if 0 < zxid < 1 << 63:
            return {"zxid": zxid}
    for form in TIMES:
        try:
            at = datetime.strptime(text, form).replace(tzinfo=UTC)
        except ValueError:
            continue
        return {"at_ms": int(at.timestamp() * 1_000)}
    raise ValidationError(f"{text[:40]!r} is neither a time, 2026-11-21 15:04, nor a zxid, 0x1f")
