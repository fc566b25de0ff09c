"""Official documents built element by element, so that a test can leave out, move, lengthen what it wants."""

from collections.abc import Iterator

from lxml import etree

import schemas
from adapters.codecs.official import NAMESPACE

BENCHMARK = "C-three-goods.xml"


def example(name: str) -> bytes:
    """The bytes of a packaged example."""
    return schemas.read_bytes("examples", name)


def full_certificate() -> etree._Element:
    """A certificate with every block and every element of the interface, each at its full length or a valid form."""
    root = etree.Element(f"{{{NAMESPACE}}}Certificate", nsmap={None: NAMESPACE})
    for block, name in _shape():
        parent = root
        for step in block:
            found = parent.find(f"{{{NAMESPACE}}}{step}")
            parent = etree.SubElement(parent, f"{{{NAMESPACE}}}{step}") if found is None else found
        etree.SubElement(parent, f"{{{NAMESPACE}}}{name}").text = VALUES.get(name, "1")
    return root


def leaves(root: etree._Element) -> Iterator[etree._Element]:
    """Elements with text only."""
    return (element for element in root.iter() if not len(element))


def local(element: etree._Element) -> str:
    """Local name."""
    return etree.QName(element).localname


def text_of(root: etree._Element) -> bytes:
    """The document's bytes, one element a line."""
    etree.indent(root, space="")
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8")


VALUES = {
    "InvDate": "2026-11-02",
    "AplDate": "2026-11-05",
    "IntendExpDate": "2026-11-12",
    "ExpDeclDate": "2026-11-10",
    "ChkValidDate": "2027-11-05",
    "OldDeclDate": "2026-10-01",
    "OldIssueDate": "2026-10-02 08:00:00",
}

# Typed from the field tables (interface-head, interface-goods) for this test, not from the model: name, longest text
# (0: a whole number), and ! for an element that must be there.
HEAD = """CertNo20! ApplyType1! CertStatus1! CertType2! EntMgrNo19! CiqRegNo18! AplRegNo18! EtpsName400! ApplName20
Applicant18 ApplTel30 OrgCode20 FetchPlace20 AplAdd30 InvDate10 InvNo50 AplDate10 DestCountry80 DestCountryCode4
DestCountryName50 Exporter400 Consignee400 GoodsSpecClause2000 Mark2000 LoadPort50 UnloadPort50 TransMeans100
TransName100 TransCountryCode4 TransCountryName150 TransPort50 DestPort50 TransDetails630 IntendExpDate10
TradeModeCode4 FOBValue25 TotalAmt25 Note1000 ContractNo200 LcNo50 SpecInvTerms1000 PriceTerms20 Curr10 Remark300
ProducerSertFlag1 ExhibitFlag1 ThirdPartyInvFlag1 ExporterTel50 ExporterFax50 ExporterEmail50 ConsigneeTel50
ConsigneeFax50 ConsigneeEmail50 PredictFlag1 ExpDeclDate10 OriCountryCode4 OriCountry30 ChkValidDate10 EtpsConcEr30
EtpsTel20 Producer1000 PrcsAssembly30 EntryId600"""
GOODS = """GoodsItemFlag1 GNo0 HSCode10 GoodsName200 GoodsNameE400 PackQty25 PackUnit20 GoodsQty25 GoodsUnitE20
GoodsUnit20 GoodsQtyRef25 GoodsUnitRef20 SecdGoodsQtyRef25 SecdGoodsUnitRef20 GrossWt25 NetWt25 WtUnit10 InvPrice25
InvValue25 FOBValue25 ICompPrpr10 OriCriteria10 OriCriteriaRef10 Producer1000 ProducerTel50 ProducerFax50
ProducerEmail50 CiqRegNo10 PrdcEtpsName400 PrdcEtpsConcEr20 PrdcEtpsTel20 ProducerSertFlag1 GoodsDesc1000
OriCriteriaSub1 GoodsOriginCountry3 GoodsOriginCountryEn80 GoodsTaxRate1 InvNo50 PackType1!"""
AMENDMENT = "OldCertNo20 ModReason500 ModColm200 OldSituDesc2000 ModSituDesc2000 OldDeclDate20 OldIssueDate20"
NON_PARTY = "SortNo0! EntName500! EntAddr1000! EntCountryCode3! EntCountryName100!"
INVOICE = "CertNo20! InvNo50! ContractNo50 LcNo50 Value20 Curr10! PriceClause20! SpecInvTerms1000 InvDate20!"

BLOCKS = {
    ("CertificateHead",): HEAD,
    ("CertificateList", "Goods"): GOODS,
    ("ModCertificate",): AMENDMENT,
    ("NonpartyCorpList", "NonpartyCorp"): NON_PARTY,
    ("OriInvs", "OriInv"): INVOICE,
}


def table(text: str) -> list[tuple[str, int, bool]]:
    """(name, longest text, mandatory) of each element of one block."""
    found = []
    for word in text.split():
        name = word.rstrip("!").rstrip("0123456789")
        found.append((name, int(word.rstrip("!")[len(name) :]), word.endswith("!")))
    return found


def _shape() -> Iterator[tuple[tuple[str, ...], str]]:
    for block, text in BLOCKS.items():
        for name, _, _ in table(text):
            yield block, name
    yield ("AplPromise",), "AplPromiseCode"
