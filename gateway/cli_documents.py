"""check, convert, verify: offline, no server, no account."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from gateway.cli_common import (
    FAULTY,
    MAX_TEXT,
    USAGE,
    JsonOption,
    Stop,
    dump,
    example,
    hint,
    read_bytes,
    say,
    show,
    why,
)

if TYPE_CHECKING:
    from gateway.core.faults import Fault
    from gateway.ports import Dialect
    from gateway.runtime.examining import Examiner
    from renderers.verify import Report

Files = Annotated[list[Path], typer.Argument(help="Declarations, XML or JSON.", show_default=False)]
XML, JSON = "application/xml", "application/json"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(epilog=example("origin check schemas/examples/RC-faulty.json"))(check)
    app.command(epilog=example("origin convert declaration.xml --to json > declaration.json"))(convert)
    app.command(epilog=example("origin verify certificate.pdf --authority root.pem --enterprise 91330100799655058B"))(
        verify
    )


@dataclass(frozen=True, slots=True)
class Checked:
    """One file and what is wrong with it."""

    file: Path
    faults: "Sequence[Fault]" = ()
    warnings: "Sequence[Fault]" = field(default=())


def check(files: Files, as_json: JsonOption = False) -> None:
    """Every fault of a declaration, as the gateway would name them; ORIGIN_MAX_BYTES holds here too. Exit 0: none; 1:
    some."""
    from adapters.codecs.dialects import dialects
    from gateway.examiner import new_examiner
    from gateway.settings import SettingsRefused, load

    try:
        examiner, known = new_examiner(load().max_bytes), dialects()
    except SettingsRefused as refusal:
        raise Stop(str(refusal), USAGE) from None
    results = [_check(file, examiner, known) for file in files]
    if as_json:
        dump([_data(result) for result in results])
    else:
        _tell(results)
    raise typer.Exit(FAULTY if any(result.faults for result in results) else 0)


def convert(
    file: Annotated[Path, typer.Argument(help="A declaration, XML or JSON.", show_default=False)],
    to: Annotated[Literal["customs-xml", "json"], typer.Option(help="The other dialect.", show_default=False)],
) -> None:
    """Between the official XML and the enterprise JSON, to standard output. Nothing is lost either way."""
    from adapters.codecs.dialects import dialects
    from gateway.core.faults import Refused

    known = dialects()
    content = read_bytes(file)
    try:
        declaration = known[media_type(file, content)].read(content).declaration
        written = known[XML if to == "customs-xml" else JSON].write(declaration)
    except Refused as refusal:
        for fault in refusal.faults:
            hint(f"{file}:{fault.line or ''}: {fault.code} {fault.path}: {fault.message} {fault.remedy}")
        raise typer.Exit(FAULTY) from None
    sys.stdout.buffer.write(written)


def verify(
    files: Annotated[list[Path], typer.Argument(help="PDF files.", show_default=False)],
    authority: Annotated[
        list[Path] | None,
        typer.Option(help="Certificates to trust, PEM or DER; may be given again. The signer's own is one too."),
    ] = None,
    enterprise: Annotated[
        str | None, typer.Option(help="Credit code (统一社会信用代码) of who should have signed.", show_default=False)
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Who signed a certificate, and is it as it was signed? Offline. Without --authority nobody says whose key it is.

    Exit 0: every file is valid; 1: some is not; 2: some can't be read, or is too large.
    """
    from dataclasses import asdict

    from stdnum.cn import uscc

    if enterprise is not None and not uscc.is_valid(enterprise):
        raise Stop("--enterprise is no unified social credit code: 18 characters, the last a check digit.", USAGE)
    roots = [read_bytes(path, MAX_TEXT) for path in authority or ()]
    reports = [(file, _verified(file, roots, enterprise or "")) for file in files]
    if as_json:
        dump(
            [
                {"file": str(file), "valid": report.valid, "summary": report.summary, **asdict(report)}
                for file, report in reports
            ]
        )
    else:
        for file, report in reports:
            first, *others = report.text().splitlines()
            say(f"{file}: {first}")
            for line in others:
                say(line)
    if any(not report.sha256 for _, report in reports):
        raise typer.Exit(USAGE)
    raise typer.Exit(0 if all(report.valid for _, report in reports) else FAULTY)


def _verified(file: Path, roots: "Sequence[bytes]", enterprise: str) -> "Report":
    from renderers.hostile_pdf import MAX_BYTES
    from renderers.verify import Report
    from renderers.verify import verify as examine

    try:
        with file.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        return Report(problem=f"it can't be read: {why(error)}")
    try:
        return examine(content, roots, enterprise=enterprise)
    except ValueError:
        raise Stop("An --authority is no certificate, PEM or DER.", USAGE) from None


def media_type(file: Path, content: bytes) -> str:
    """By the name's ending, else by the first character."""
    suffix = file.suffix.lower()
    if suffix in (".xml", ".json"):
        return XML if suffix == ".xml" else JSON
    return JSON if content.lstrip()[:1] == b"{" else XML


def _check(file: Path, examiner: "Examiner", dialects: "dict[str, Dialect]") -> Checked:
    from gateway.core.faults import Refused, Severity
    from gateway.runtime.door import Client, Submission

    content = read_bytes(file)
    kind = media_type(file, content)
    try:
        # Whose declaration it is, only a gateway can judge: here everybody declares in the right names.
        declared = dialects[kind].read(content).declaration
        owner = Client("check", declared.applicant_code, exporters=frozenset({declared.exporter_code}))
        examined = examiner.examine(Submission(owner, kind, content, "check"))
    except Refused as refusal:
        grave = [fault for fault in refusal.faults if fault.severity is Severity.REFUSE]
        return Checked(file, grave, [fault for fault in refusal.faults if fault.severity is Severity.WARN])
    return Checked(file, (), examined.warnings)


def _data(result: Checked) -> dict[str, Any]:
    return {
        "file": str(result.file),
        "ok": not result.faults,
        "faults": [fault.model_dump(mode="json", exclude_none=True) for fault in result.faults],
        "warnings": [fault.model_dump(mode="json", exclude_none=True) for fault in result.warnings],
    }


def _tell(results: Sequence[Checked]) -> None:
    rows = [
        (
            result.file,
            fault.line,
            fault.code,
            fault.severity.value,
            fault.path,
            fault.message,
            fault.remedy,
            fault.source,
        )
        for result in results
        for fault in (*result.faults, *result.warnings)
    ]
    if rows:
        show(("file", "line", "code", "", "path", "what is wrong", "what to do", "source"), rows)
    for result in results:
        if not result.faults:
            hint(f"{result.file}: good" + (f", {len(result.warnings)} warning(s)" if result.warnings else ""))
    faulty = [result for result in results if result.faults]
    if faulty:
        total = sum(len(result.faults) for result in faulty)
        hint(f"{total} fault(s) in {len(faulty)} of {len(results)} file(s).")
