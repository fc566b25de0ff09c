"""What may be added to a certificate after it was signed: data for long-term validation, and nothing else.

That is a document security store (/DSS) with certificates, CRLs and OCSP answers, and document time stamps without
an appearance (PAdES B-LT and B-LTA, EN 319 142-1). They show nothing and change nothing that is shown. pyHanko
compares the revisions; the rules are its own where they are as strict as that, and narrowed where they are not.
"""

import re
from collections.abc import Iterable
from typing import Any

from pyhanko.pdf_utils.reader import HistoricalResolver, PdfFileReader
from pyhanko.sign.diff_analysis import (
    CatalogModificationRule,
    DocInfoRule,
    DSSCompareRule,
    FormUpdatingRule,
    ModificationLevel,
    ReferenceUpdate,
    SigFieldCreationRule,
    SigFieldModificationRule,
    StandardDiffPolicy,
)
from pyhanko.sign.diff_analysis.commons import compare_dicts

CATALOGUE = frozenset({"/AcroForm", "/DSS", "/Extensions", "/Version"})
STAMPED = frozenset({"/ModDate", "/Producer"})
"""What a program that adds something writes about itself into /Info."""
OBJECT = re.compile(rb"(?<![0-9])[0-9]+[\x00\t\n\f\r ]+[0-9]+[\x00\t\n\f\r ]+obj(?![a-z])")


class _InfoRule(DocInfoRule):
    """/Info may tell when it was changed and by which program; title and number stay."""

    def apply(self, old: HistoricalResolver, new: HistoricalResolver) -> Iterable[ReferenceUpdate]:
        compare_dicts(info(old), info(new), STAMPED)
        yield from super().apply(old, new)


def info(revision: HistoricalResolver) -> Any:
    """/Info as it was in a revision. Raises KeyError; `trailer_view["/Info"]` would be that of the last one."""
    return revision(revision.trailer_view.get_value_as_reference("/Info"))


POLICY = StandardDiffPolicy(
    global_rules=[
        CatalogModificationRule(ignored_keys=CATALOGUE),  # type: ignore[no-untyped-call]
        _InfoRule().as_qualified(ModificationLevel.LTA_UPDATES),
        DSSCompareRule().as_qualified(ModificationLevel.LTA_UPDATES),
    ],
    form_rule=FormUpdatingRule(
        [SigFieldCreationRule(), SigFieldModificationRule()],  # type: ignore[no-untyped-call]
        ignored_acroform_keys={"/Fields"},
    ),
    ignore_orphaned_objects=False,
)
"""Changes at a level above LTA_UPDATES are not permitted, whatever it is called."""


def all_named(content: bytes, end: int, reader: PdfFileReader, revision: int) -> bool:
    """Is everything behind the signed bytes a revision whose table names each of its objects?

    Viewers mend what looks damaged: they find objects that no table names, and take them. `end`: of the signed bytes;
    `revision`: the signed one.
    """
    rest = content[end:]
    later = range(revision + 1, reader.xrefs.total_revisions)
    tables = [reader.xrefs.get_xref_container_info(number) for number in later]
    places = [place for number in later for _, place in reader.xrefs.get_xref_data(number).standard_xrefs.values()]
    return (
        rest.count(b"startxref") == len(tables)
        and len(OBJECT.findall(rest)) == len(places)
        and all(place >= end for place in [*places, *(table.start_location for table in tables)])
        and (not rest or rest.rstrip(b"\r\n").endswith(b"%%EOF"))
    )
