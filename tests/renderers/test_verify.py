"""`origin verify` says what is true: a certificate is VALID as its exporter signed it, and in no other way."""

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives import serialization

from renderers.sign import Signer
from renderers.verify import verify
from tests.renderers.attacks import CHANGES
from tests.renderers.papers import (
    AT,
    AUTHORITY,
    ENTERPRISE,
    NUMBER,
    OTHER,
    OTHER_NAME,
    OWN_NAME,
    PASSWORD,
    a_key,
    codes,
    judged,
    keys,
    long_term,
    number_of,
    paper,
    saved,
    signed_again,
    time_stamped,
    titled,
    unsigned,
    update,
)

# ---------------------------------------------------------------- what is valid


def test_a_certificate_as_it_was_signed() -> None:
    report = judged(paper(), ENTERPRISE)
    assert (
        report.summary == f'VALID: signed by "{OWN_NAME}" under the number {NUMBER}; "{AUTHORITY}" vouches for the key'
    )
    assert (report.number, report.additions, report.signatures[0].enterprises) == (NUMBER, False, (ENTERPRISE,))
    assert report.text().splitlines()[1:3] == [f"  certificate {NUMBER}", f'  signed by   "{OWN_NAME}"']


def test_who_names_no_authority_is_told_that_nobody_was_asked() -> None:
    report = verify(paper(), at=AT)
    assert report.valid
    assert report.summary.endswith("nobody was asked whether the key is theirs (--authority)")


@pytest.mark.parametrize(
    "added",
    [
        long_term(paper()),
        time_stamped(paper()),
        time_stamped(long_term(paper())),
        long_term(time_stamped(long_term(paper()))),
        update(long_term(paper()), number_of(rb"/DSS", long_term(paper()))),  # the same object once more
    ],
)
def test_data_for_long_term_validation_may_be_added(added: bytes) -> None:
    report = judged(added, ENTERPRISE)
    assert report.valid, report.text()
    assert report.additions
    assert report.summary.endswith("only long-term data was added since")
    assert report.signatures[0].whole
    assert [stamp.at for stamp in report.time_stamps] == [AT] * added.count(b"/DocTimeStamp")


def test_a_long_life() -> None:
    """Each few years a new time stamp, and what proves the one before."""
    content = paper()
    for name in "ABCDEFG":
        content = time_stamped(long_term(content), name=name)
    report = judged(content, ENTERPRISE)
    assert report.valid, report.text()
    assert len(report.time_stamps) == 7


def test_as_many_sheets_as_a_certificate_may_have() -> None:
    """And what is added in some years: each time stamp has all of them compared."""
    content = paper(sheets=400)
    for name in "AB":
        content = time_stamped(long_term(content), name=name)
    report = judged(content, ENTERPRISE)
    assert report.valid, report.text()


def test_the_signers_own_certificate_is_an_authority_too() -> None:
    content = paper(keys().self_made)
    assert codes(judged(content)) == ["SELF-MADE"]
    own = Signer(keys().self_made, PASSWORD).certificate
    pinned = own.public_bytes(serialization.Encoding.DER)
    assert verify(content, [pinned], AT).valid
    both = keys().root + own.public_bytes(serialization.Encoding.PEM)
    assert verify(content, [both], AT).valid, "a file of several"
    with pytest.raises(ValueError):
        verify(content, [b"nonsense"], AT)


@pytest.mark.parametrize(
    "name",
    [
        'X\nVALID: signed by "CUSTOMS"', 'X\r\x1b[2KVALID: signed by "CUSTOMS"', 'X\u2028VALID: signed by "CUSTOMS"',
        'X"; "CUSTOMS" vouches for the key', 'X\u202e"; "SMOTSUC" vouches for the key',
    ],
)  # fmt: skip
def test_a_name_that_reads_like_a_verdict_is_seen_to_be_a_name(name: str) -> None:
    """Who makes his own key writes what he likes into its certificate."""
    report = verify(paper(a_key(name, authority=keys().rival)), at=AT)
    lines = report.text().split("\n")
    assert all(line.isprintable() for line in lines)
    assert [line for line in lines if not line.startswith("  ")] == [report.summary]
    assert re.fullmatch(rf'VALID: signed by "X[^"]*" under the number {NUMBER}; nobody was asked .*', report.summary), (
        report.summary
    )


# ---------------------------------------------------------------- what was changed


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_not_valid(name: str) -> None:
    changed = saved(paper(), CHANGES[name])
    assert changed.startswith(paper())
    assert len(changed) > len(paper()) + 100
    report = judged(changed)
    assert codes(report) == ["CHANGED-AFTER"], report.text()
    assert report.signatures[0].intact, "what was signed is still there"
    assert report.summary.startswith(f'NOT VALID: "{OWN_NAME}" signed a part only')


@pytest.mark.parametrize("name", ["painted over", "annotation FreeText", "title", "picture replaced", "layers"])
def test_a_change_under_long_term_data_is_not_valid(name: str) -> None:
    """What is permitted before and after a change does not hide it."""
    assert codes(judged(long_term(saved(paper(), CHANGES[name])))) == ["CHANGED-AFTER"]
    report = judged(time_stamped(saved(long_term(paper()), CHANGES[name])))
    assert codes(report) == ["CHANGED-AFTER"]


WHO: dict[str, tuple[Callable[[], bytes], str]] = {
    "another enterprise": (lambda: keys().other, f'"{OTHER_NAME}" (another enterprise of the same authority'),
    "a self-made key": (lambda: keys().self_made, f'"{OWN_NAME}" (a self-made key: no authority vouches for it)'),
    "a self-made authority": (lambda: keys().forged, f'"{OWN_NAME}" (a key of another authority'),
    "another key of the exporter": (
        lambda: a_key(OWN_NAME, authority=keys().authority), f'"{OWN_NAME}" (another key of the same enterprise)'
    ),
    "the same key": (lambda: keys().own, f'"{OWN_NAME}" (the same key once more)'),
}  # fmt: skip


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("changed", [None, "painted over", "annotation Stamp"])
def test_who_signs_again_is_named_first(who: str, changed: str | None) -> None:
    key, named = WHO[who]
    content = saved(paper(), CHANGES[changed]) if changed else paper()
    report = judged(signed_again(content, key()))
    assert codes(report) == ["SIGNED-AGAIN", "CHANGED-AFTER"]
    assert report.summary.startswith(f"NOT VALID: the whole is signed by {named}"), report.summary
    assert report.summary.endswith(f'over what "{OWN_NAME}" had signed before')
    assert report.signatures[0].signer == OWN_NAME
    assert not verify(signed_again(content, key()), at=AT).valid, "without an authority too"


def test_a_signature_that_hides_the_exporters_is_found() -> None:
    """The catalogue forgets the exporter's field; then the file is signed by somebody else alone."""
    forgotten = saved(paper(), CHANGES["painted over"])
    number, body = number_of(rb"/AcroForm", forgotten)
    forgotten = update(forgotten, (number, re.sub(rb"/AcroForm<<.*?>>", b"", body)))
    report = judged(signed_again(forgotten, keys().other))
    assert [one.signer for one in report.signatures] == [OTHER_NAME]
    assert codes(report)[0] == "NOT-IN-ONE-PIECE"
    assert OTHER_NAME in report.summary


# ---------------------------------------------------------------- who signed


@pytest.mark.parametrize(
    ("key", "code"),
    [
        (lambda: keys().other, "OTHER-ENTERPRISE"),
        (lambda: keys().self_made, "SELF-MADE"),
        (lambda: keys().forged, "OTHER-AUTHORITY"),
        (lambda: a_key("NINGBO HAITIAN", authority=keys().authority), "ENTERPRISE-NOT-NAMED"),
        (lambda: a_key(OWN_NAME, authority=keys().authority, start=AT - timedelta(days=9), days=8), "EXPIRED"),
        (lambda: a_key(OWN_NAME, authority=keys().authority, start=AT + timedelta(days=1)), "NOT-YET-VALID"),
    ],
)
def test_a_paper_made_anew_is_told_by_its_signer(key: Callable[[], bytes], code: str) -> None:
    signer = Signer(key(), PASSWORD)
    content, _ = signer.sign(unsigned(signer.hole))
    report = judged(content, ENTERPRISE)
    assert code in codes(report), report.text()
    assert not report.valid
    assert signer.certificate.subject.rfc4514_string().split("=")[1].split(",")[0] in report.summary


def test_the_number_tells_whose_paper_it_is() -> None:
    """Without a word of who should have signed: the number holds the exporter's organisation code."""
    assert codes(judged(paper(keys().other))) == ["OTHER-ENTERPRISE"]
    assert codes(judged(paper(keys().other), OTHER)) == ["OTHER-ENTERPRISE"]
    assert judged(paper(), OTHER).summary == f'NOT VALID: signed by "{OWN_NAME}", not by {OTHER}'
    unnamed = paper(a_key("NINGBO HAITIAN", authority=keys().authority))
    assert judged(unnamed).valid, "who is not named can't be compared: the reader sees the name"
    assert judged(unnamed).summary.endswith("names no credit code, so nobody can tell whether the number is theirs")
    assert codes(judged(unnamed, ENTERPRISE)) == ["ENTERPRISE-NOT-NAMED"]


OURS = f"Certificate of origin {NUMBER}, original".encode()
TITLES = {
    "none": b"",
    "empty": b"/Title()",
    "another": b"/Title(x)",
    "a trailing blank": b"/Title(%b )" % OURS,
    "a line feed at the end": rb"/Title(%b\n)" % OURS,
    "a capital": b"/Title(%b)" % OURS.replace(b"original", b"Original"),
    "UTF-16": b"/Title(%b)" % (b"\xfe\xff" + OURS.decode().encode("utf-16-be")),
    "UTF-8": b"/Title(\xef\xbb\xbf%b)" % OURS,
    "no string": b"/Title/%b" % OURS.replace(b" ", b"#20"),
    "a list": b"/Title[(%b)]" % OURS,
}


@pytest.mark.parametrize("key", ["own", "other"])
@pytest.mark.parametrize("name", TITLES)
def test_a_file_without_our_title_is_no_certificate(name: str, key: str) -> None:
    """Else another enterprise's number would not be found out."""
    report = judged(titled(TITLES[name], getattr(keys(), key)))
    assert codes(report) == ["NO-NUMBER"], report.text()
    assert report.number == ""
    who = OTHER_NAME if key == "other" else OWN_NAME
    assert report.summary.startswith(f'NOT VALID: signed by "{who}", but it is no certificate of this gateway'), report


def test_a_second_title_is_none_of_ours() -> None:
    metadata = b"/Metadata 1 0 R"
    assert codes(judged(titled(b"/Title(%b)" % OURS, catalogue=metadata))) == ["NO-NUMBER"]
    assert codes(judged(titled(b"/Title(%b)" % OURS, catalogue=b"/PageMode/UseNone"))) == []
    assert judged(titled(b"/Title(%b)/#54itle(x)" % OURS)).problem, "twice in one dictionary"
    later = judged(saved(titled(b"/Title(x)", keys().other), CHANGES["title"]))
    assert (codes(later), later.number) == (["CHANGED-AFTER", "NO-NUMBER"], ""), "what was signed counts"


@pytest.mark.parametrize("title", [b"(%b)" % OURS, b"<%b>" % OURS.hex().encode(), b"(\\103%b)" % OURS[1:]])
def test_the_same_title_in_other_letters_is_compared_too(title: bytes) -> None:
    assert judged(titled(b"/Title" + title)).number == NUMBER
    assert judged(titled(b"/Title" + title)).valid
    assert codes(judged(titled(b"/Title" + title, keys().other))) == ["OTHER-ENTERPRISE"]


def test_the_first_line_says_which_number_was_compared() -> None:
    """What is drawn on the page is not read: a reader compares it with this number."""
    number = f"C26{OTHER[8:17]}0001"
    report = judged(titled(f"/Title(Certificate of origin {number}, original)".encode(), keys().other))
    assert report.summary.startswith(f'VALID: signed by "{OTHER_NAME}" under the number {number}; ')
    assert report.number == number


def test_a_certificate_outlives_no_key() -> None:
    report = judged(paper(), at=AT + timedelta(days=30_000))
    assert codes(report) == ["EXPIRED"]
    assert codes(verify(paper(), at=AT + timedelta(days=30_000))) == ["EXPIRED"]
    assert codes(verify(paper(), at=AT - timedelta(days=3000))) == ["NOT-YET-VALID"]
