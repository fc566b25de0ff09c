"""Named predicates: what the rule words of a profile can't say. A test counts them; each new one needs a reason.

A predicate is made once, from its arguments and the code lists, and answers whether a present value is right.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from stdnum.cn import ric, uscc
from stdnum.exceptions import ValidationError as NumberError

from gateway.core.numbers import organisation_in
from gateway.core.profile import CodeList, ProfileError

Check: TypeAlias = Callable[[Any, Mapping[str, Any], Mapping[str, Any]], bool]
"""(value, the block it stands in, the whole declaration) -> is it right? Never called for an absent value."""

Place: TypeAlias = tuple[str | int, ...]
Fields: TypeAlias = Mapping[str, Any]

Maker: TypeAlias = Callable[[Mapping[str, Any], Mapping[str, CodeList]], Check]

_FULL_WIDTH: Final = re.compile("[\uff01-\uff5e\u3000]")
_BREAK_IN_WORD: Final = re.compile("\n(?<=[A-Za-z]\n)[a-z]")
"""A letter, a break, a small letter; the break stands first, because it is looked for fastest."""
_HAN: Final = re.compile("[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_MADE_IN: Final = re.compile(r"\bMADE\s+IN\s+([A-Z]+)")
_CHINA: Final = frozenset({"CHINA", "P", "PRC", "THE"})


@lru_cache(maxsize=4096)
def valid_uscc(code: str) -> bool:
    """统一社会信用代码: 18 characters with their check digit (GB 32100). Remembered: they recur."""
    try:
        return bool(uscc.validate(code) == code)
    except NumberError:
        return False


def _uscc(args: Mapping[str, Any], lists: Mapping[str, CodeList]) -> Check:
    """A valid unified social credit code."""
    return lambda value, _block, _root: valid_uscc(value)


def _id_card(args: Mapping[str, Any], lists: Mapping[str, CodeList]) -> Check:
    """居民身份证号: 18 characters with birthday and check digit (GB 11643)."""

    def check(value: Any, _block: Mapping[str, Any], _root: Mapping[str, Any]) -> bool:
        try:
            date(int(value[6:10]), int(value[10:12]), int(value[12:14]))
            return len(value) == 18 and value[:17].isdigit() and bool(ric.calc_check_digit(value) == value[-1])
        except ValueError:
            return False

    return check


def _real_date(args: Mapping[str, Any], lists: Mapping[str, CodeList]) -> Check:
    """A day that exists."""

    def check(value: Any, _block: Mapping[str, Any], _root: Mapping[str, Any]) -> bool:
        try:
            date.fromisoformat(value)
        except ValueError:
            return False
        return True

    return check


def _half_width(args: Mapping[str, Any], lists: Mapping[str, CodeList]) -> Check:
    """Neither full-width Latin letters, digits or blanks (全角) nor invisible characters."""

    def check(value: Any, _block: Mapping[str, Any], _root: Mapping[str, Any]) -> bool:
        if value.isascii():
            return True
        if _FULL_WIDTH.search(value):
            return False
        return not any(unicodedata.category(c) == "Cf" or c == "\xa0" for c in value)

    return check


def _no_han(args: Mapping[str, Any], lists: Mapping[str, CodeList]) -> Check:
    """No Chinese characters: this text is printed on an English form."""
    return lambda value, _block, _root: value.isascii() or _HAN.search(value) is None


def _trimmed(args: Mapping[str, Any], lists: Mapping[str, CodeList]) -> Check:
    """No blank at either end, and more than blanks."""
    return lambda value, _block, _root: value == value.strip()


def _whole_words(args: Mapping[str, Any], lists: Mapping[str, CodeList]) -> Check:
    """No line break inside a word: ``W/nylon`` was meant as a slash, and customs reads a break."""
    return lambda value, _block, _root: "\n" not in value or _BREAK_IN_WORD.search(value) is None


def _free_of(args: Mapping[str, Any], lists: Mapping[str, CodeList]) -> Check:
    """None of the argument `words` occurs, whatever the capitals."""
    words = tuple(word.upper() for word in args["words"])

    def check(value: Any, _block: Mapping[str, Any], _root: Mapping[str, Any]) -> bool:
        text = " ".join(value.upper().split())
        return not any(word in text for word in words)

    return check


def _no_foreign_origin(args: Mapping[str, Any], lists: Mapping[str, CodeList]) -> Check:
    """Marks don't name another origin than China."""
    return lambda value, _block, _root: all(made in _CHINA for made in _MADE_IN.findall(value.upper()))


def _unlike_digits(args: Mapping[str, Any], lists: Mapping[str, CodeList]) -> Check:
    """No letter O or I after the type's letters, where a digit 0 or 1 was meant."""
    return lambda value, _block, root: not {"O", "I"} & set(value.upper()[len(root.get("certificate_type", "")) :])


def _own_organisation(args: Mapping[str, Any], lists: Mapping[str, CodeList]) -> Check:
    """No certificate number of another enterprise: what has the shape of a number has the exporter's organisation code
    in it, positions 9 to 17 of its credit code."""

    def check(value: Any, _block: Mapping[str, Any], root: Mapping[str, Any]) -> bool:
        organisation = organisation_in(value)
        return organisation is None or organisation.upper() == root["exporter_code"][8:17].upper()

    return check


def _differs(args: Mapping[str, Any], lists: Mapping[str, CodeList]) -> Check:
    """Not the same as the declaration's field `from`."""
    other = args["from"]
    return lambda value, _block, root: value != root.get(other)


def _numbered(args: Mapping[str, Any], lists: Mapping[str, CodeList]) -> Check:
    """The lines of a list are numbered 1, 2, 3 in order."""
    return lambda value, _block, _root: all(item.get("line_no", i) == i for i, item in enumerate(value, 1))


def _country_names(args: Mapping[str, Any], lists: Mapping[str, CodeList]) -> Mapping[str, str]:
    """English name in capitals -> code."""
    return {row["en"].upper(): code for code, row in lists["countries"].rows.items() if row["en"]}


def _named_so(args: Mapping[str, Any], lists: Mapping[str, CodeList]) -> Check:
    """The Chinese country name is the one of the code in the field `code`."""
    rows, code_field = lists["countries"].rows, args["code"]

    def check(value: Any, block: Mapping[str, Any], _root: Mapping[str, Any]) -> bool:
        row = rows.get(block.get(code_field, ""))
        return row is None or not row["zh"] or value in row["zh"].split("/")

    return check


def _port_in(args: Mapping[str, Any], lists: Mapping[str, CodeList]) -> Check:
    """A port that names a country names the right one: the destination, or the fixed argument `country` (a code)."""
    names, fixed, rows = _country_names(args, lists), args.get("country"), lists["countries"].rows

    def check(value: Any, _block: Mapping[str, Any], root: Mapping[str, Any]) -> bool:
        text = value.upper()
        _, comma, country = text.rpartition(",")
        named = names.get(country.strip().rstrip(".")) if comma else None
        expected = fixed or root.get("destination_code")
        if named is None or expected is None or named == expected:
            return True
        return expected in rows and rows[expected]["en"].upper() in text  # HONG KONG, CHINA

    return check


def _names_country(args: Mapping[str, Any], lists: Mapping[str, CodeList]) -> Check:
    """A party's block ends with its country, or says TO ORDER. Remembered: buyers recur."""
    names = tuple(_country_names(args, lists))

    @lru_cache(maxsize=1024)
    def named(text: str, own: str) -> bool:
        text, own = text.upper(), own.upper()
        if own and own in text:
            return True
        text = " ".join(text.split())
        if (own and own in text) or "TO ORDER" in text or "WHOM IT MAY CONCERN" in text:
            return True
        for name in names:  # noqa: SIM110  # a generator would cost twice as much, and these are 250
            if name in text:
                return True
        return False

    return lambda value, _block, root: named(value, root.get("destination", ""))


PREDICATES: Final[Mapping[str, Maker]] = MappingProxyType(
    {
        "uscc": _uscc,
        "id_card": _id_card,
        "real_date": _real_date,
        "half_width": _half_width,
        "no_han": _no_han,
        "trimmed": _trimmed,
        "whole_words": _whole_words,
        "free_of": _free_of,
        "no_foreign_origin": _no_foreign_origin,
        "unlike_digits": _unlike_digits,
        "own_organisation": _own_organisation,
        "differs": _differs,
        "numbered": _numbered,
        "named_so": _named_so,
        "port_in": _port_in,
        "names_country": _names_country,
    }
)


def _known_invoice(scope: str, field: str) -> Callable[[Fields], Iterator[Place]]:
    """A line's invoice is one of the declaration's invoices."""

    def check(fields: Fields) -> Iterator[Place]:
        known = {invoice.get("invoice_no") for invoice in fields.get("invoices", ())}
        for index, item in enumerate(fields.get(scope, ())):
            if field in item and item[field] not in known:
                yield scope, index, field

    return check


COLLECTIVE_PREDICATES: Final[Mapping[str, Callable[[str, str], Callable[[Fields], Iterator[Place]]]]] = (
    MappingProxyType({"known_invoice": _known_invoice})
)
"""Those that look at one field of all items at once, because each item alone would have to look at all of another list:
(list, field) -> the places that are wrong. They take no arguments."""

_ARGUMENTS: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "free_of": frozenset({"words"}),
        "differs": frozenset({"from"}),
        "named_so": frozenset({"code"}),
        "port_in": frozenset({"country"}),
    }
)
_NEEDS_COUNTRIES: Final = frozenset({"named_so", "port_in", "names_country"})
_OPTIONAL: Final = frozenset({"country"})


def predicate(name: str, args: Mapping[str, Any], lists: Mapping[str, CodeList]) -> Check:
    """The check of a named predicate. Raises ProfileError for unknown names, arguments or lists."""
    if name not in PREDICATES:
        raise ProfileError(f"no predicate is called {name}")
    known = _ARGUMENTS.get(name, frozenset())
    if not args.keys() <= known or not known - _OPTIONAL <= args.keys():
        raise ProfileError(f"predicate {name} takes the arguments {sorted(known) or 'none'}")
    if name in _NEEDS_COUNTRIES and "countries" not in lists:
        raise ProfileError(f"predicate {name} needs the code list countries")
    return PREDICATES[name](args, lists)
