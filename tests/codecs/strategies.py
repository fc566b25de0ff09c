"""Declarations as hypothesis makes them: anything the interface can carry."""

from hypothesis import strategies as st

from adapters.codecs.texts import blank, composed, trouble
from gateway.core.declaration import Amendment, Block, Declaration, Goods, Invoice, NonParty, Official, official_fields

DECIMALS = frozenset(
    {"PackQty", "GoodsQty", "GoodsQtyRef", "SecdGoodsQtyRef", "GrossWt", "NetWt", "InvPrice", "InvValue"}
)
DECIMALS |= {"FOBValue", "TotalAmt", "Value"}
DATES = frozenset({"InvDate", "AplDate", "IntendExpDate", "ExpDeclDate", "ChkValidDate", "OldDeclDate", "OldIssueDate"})

CHARACTERS = st.one_of(
    st.sampled_from("中文货物名称堃珺镕燚㎡①②𠮷\u3000&<>]\"'/\\n \n{}:,"),
    st.characters(exclude_categories=("C", "Zl", "Zp")),
)


def texts(length: int) -> st.SearchStrategy[str]:
    """Texts that the official form can carry in `length` characters, as they are read: composed, and not blank."""
    return (
        st.text(CHARACTERS, min_size=1, max_size=min(length, 40))
        .map(composed)
        .filter(lambda text: "/n" not in text and len(text.replace("\n", "/n")) <= length)
        .filter(lambda text: trouble(text) is None and not blank(text))
    )


def decimals(length: int) -> st.SearchStrategy[str]:
    """Up to 19 integer and 5 fraction digits."""
    full = st.from_regex(r"[0-9]{1,19}(\.[0-9]{1,5})?", fullmatch=True, alphabet=st.sampled_from("0123456789."))
    return full.filter(lambda text: len(text) <= length)


def values(mark: Official) -> st.SearchStrategy[object]:
    """What one field takes."""
    if mark.length is None:
        return st.integers(0, 99999)
    if mark.element in DECIMALS:
        return decimals(mark.length)
    if mark.element in DATES:
        return st.dates().map(lambda day: day.isoformat())
    return texts(mark.length)


def blocks(block: type[Block], **fixed: st.SearchStrategy[object]) -> st.SearchStrategy[Block]:
    """One block; optional fields are there or not."""
    made = {}
    for name, mark in official_fields(block).items():
        value = values(mark)
        made[name] = value if block.model_fields[name].is_required() else st.none() | value
    return st.builds(block, **(made | fixed))


def filled(amendment: Block) -> bool:
    """An amendment that says anything; an empty one is the same as none."""
    return any(value is not None for value in vars(amendment).values())


GOODS = st.one_of(
    blocks(Goods),
    blocks(Goods, non_goods=st.just("Y"), packing_type=st.just("2")),
    blocks(Goods, packing_type=st.just("2"), package_count=st.none(), package_unit=st.none()),
)

DECLARATIONS = blocks(
    Declaration,
    goods=st.lists(GOODS, max_size=4).map(tuple),
    amendment=st.none() | blocks(Amendment).filter(filled),
    non_parties=st.lists(blocks(NonParty), max_size=2).map(tuple),
    invoices=st.lists(blocks(Invoice), max_size=2).map(tuple),
    promise=st.just("1"),
)
