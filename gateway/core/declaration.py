"""The one model of a declaration, between the official message and every dialect an ERP speaks.

Each field names its element in the official interface (GACC notice 2022-1, annex 原产地证书数据导入接口规范),
its longest *encoded* length in characters and its Chinese title. The order of the fields is the order of the
elements, which is binding there. Values are texts as the interface has them: codes, dates ``YYYY-MM-DD``, decimals
of up to 19 integer and 5 fraction digits. What a certificate type demands of them is said in its profile, not here.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Annotated, Any, TypeAlias

from pydantic import BaseModel, ConfigDict, StringConstraints

Text: TypeAlias = Annotated[str, StringConstraints(strict=True, min_length=1)]
"""A text with at least one character; an empty one is None, i.e. absent. A line break is ``\\n``."""


@dataclass(frozen=True, slots=True)
class Official:
    """How the official interface calls a field, how long its encoded text may be, and what screens call it."""

    element: str
    length: int | None
    title: str
    may_be_empty: bool = False
    """The element must be there but may be empty: None becomes an empty element, not an absent one."""


class Block(BaseModel):
    """One block of the official message. Frozen; an unknown name is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


@cache
def official_fields(block: type[Block]) -> Mapping[str, Official]:
    """Clean field name -> its official element, in the binding order of the elements."""
    found = {
        name: mark for name, info in block.model_fields.items() for mark in info.metadata if isinstance(mark, Official)
    }
    return MappingProxyType(found)


class Goods(Block):
    """One line of CertificateList (货物项)."""

    non_goods: Annotated[Text | None, Official("GoodsItemFlag", 1, "非货物项")] = None
    """Y not a goods line, N goods"""
    line_no: Annotated[int | None, Official("GNo", None, "项目编号")] = None
    """Line number"""
    hs_code: Annotated[Text | None, Official("HSCode", 10, "HS编码")] = None
    """HS 10"""
    name_zh: Annotated[Text | None, Official("GoodsName", 200, "货物名称")] = None
    """Chinese"""
    name: Annotated[Text | None, Official("GoodsNameE", 400, "货物名称(英文)")] = None
    """English"""
    package_count: Annotated[Text | None, Official("PackQty", 25, "包装件数")] = None
    """Number of packages"""
    package_unit: Annotated[Text | None, Official("PackUnit", 20, "包装单位(英文)")] = None
    """CTN, BOX, BAG, BALE, PALLET …; PACKAGE is refused in practice"""
    quantity: Annotated[Text | None, Official("GoodsQty", 25, "标准数/重量")] = None
    """Standard quantity"""
    unit: Annotated[Text | None, Official("GoodsUnitE", 20, "标准单位(英)")] = None
    """Unit, English"""
    unit_zh: Annotated[Text | None, Official("GoodsUnit", 20, "标准单位(中)")] = None
    """Unit, Chinese"""
    second_quantity: Annotated[Text | None, Official("GoodsQtyRef", 25, "辅助数/重量")] = None
    """2nd quantity"""
    second_unit: Annotated[Text | None, Official("GoodsUnitRef", 20, "辅助单位")] = None
    """2nd unit"""
    third_quantity: Annotated[Text | None, Official("SecdGoodsQtyRef", 25, "第二辅助数/重量")] = None
    """3rd quantity"""
    third_unit: Annotated[Text | None, Official("SecdGoodsUnitRef", 20, "第二辅助单位")] = None
    """3rd unit"""
    gross_weight: Annotated[Text | None, Official("GrossWt", 25, "毛重")] = None
    """Gross weight; M and T need it (manual-001-1-16)"""
    net_weight: Annotated[Text | None, Official("NetWt", 25, "净重")] = None
    """Net weight"""
    weight_unit: Annotated[Text | None, Official("WtUnit", 10, "重量单位")] = None
    """Weight unit"""
    unit_price: Annotated[Text | None, Official("InvPrice", 25, "发票单价")] = None
    """Unit price"""
    amount: Annotated[Text | None, Official("InvValue", 25, "发票金额")] = None
    """Line amount"""
    fob_value: Annotated[Text | None, Official("FOBValue", 25, "FOB值")] = None
    """Line FOB"""
    import_content: Annotated[Text | None, Official("ICompPrpr", 10, "进口成份比例")] = None
    """Share of imported content, %"""
    origin_criterion: Annotated[Text | None, Official("OriCriteria", 10, "原产地标准")] = None
    """Origin criterion"""
    origin_criterion_detail: Annotated[Text | None, Official("OriCriteriaRef", 10, "原产地标准辅助项")] = None
    """E.g. W -> HS4 as XX.XX; Y -> %"""
    producer: Annotated[Text | None, Official("Producer", 1000, "生产商描述")] = None
    """H, RCEP only on the line"""
    producer_phone: Annotated[Text | None, Official("ProducerTel", 50, "生产商电话")] = None
    """H"""
    producer_fax: Annotated[Text | None, Official("ProducerFax", 50, "生产商传真")] = None
    """H"""
    producer_email: Annotated[Text | None, Official("ProducerEmail", 50, "生产商邮箱")] = None
    """H"""
    producer_code: Annotated[Text | None, Official("CiqRegNo", 10, "生产企业组织机构代码")] = None
    """Producer organisation code"""
    producer_name_zh: Annotated[Text | None, Official("PrdcEtpsName", 400, "生产企业名称")] = None
    """Producer, Chinese"""
    producer_contact: Annotated[Text | None, Official("PrdcEtpsConcEr", 20, "生产企业联系人")] = None
    """Contact"""
    producer_contact_phone: Annotated[Text | None, Official("PrdcEtpsTel", 20, "生产企业电话")] = None
    """Phone"""
    producer_confidential: Annotated[Text | None, Official("ProducerSertFlag", 1, "生产商保密")] = None
    """H"""
    description: Annotated[Text | None, Official("GoodsDesc", 1000, "货物描述")] = None
    """Printed text, 'EIGHTEEN (18) CARTONS OF …'"""
    origin_sub_criterion: Annotated[Text | None, Official("OriCriteriaSub", 1, "子标准")] = None
    """Form E PSR: 1 RVC, 2 CTC, 3 process rule"""
    origin_code: Annotated[Text | None, Official("GoodsOriginCountry", 3, "货物原产国代码")] = None
    """RCEP"""
    origin_name: Annotated[Text | None, Official("GoodsOriginCountryEn", 80, "货物原产国英文")] = None
    """RCEP"""
    tax_rate_flag: Annotated[Text | None, Official("GoodsTaxRate", 1, "最高税率标志")] = None
    """RCEP: 0 not the highest rate, 1 highest rate among the parties concerned, 2 highest rate of all parties"""
    invoice_no: Annotated[Text | None, Official("InvNo", 50, "发票号")] = None
    """Invoice of this line (RCEP)"""
    packing_type: Annotated[Text, Official("PackType", 1, "包装类型")]
    """1 regular, 2 irregular (mixed, nude, bulk, hanging)"""


class Amendment(Block):
    """ModCertificate: what an amended or re-issued certificate replaces (更改/重发)."""

    old_number: Annotated[Text | None, Official("OldCertNo", 20, "原证书号")] = None
    """Needed when CertStatus is 1, 2 or 3"""
    reason: Annotated[Text | None, Official("ModReason", 500, "更改/重发原因")] = None
    """Needed then"""
    changed_boxes: Annotated[Text | None, Official("ModColm", 200, "更改栏目")] = None
    """Boxes changed"""
    before: Annotated[Text | None, Official("OldSituDesc", 2000, "原有情况")] = None
    """Before"""
    after: Annotated[Text | None, Official("ModSituDesc", 2000, "更改情况")] = None
    """After"""
    old_application_date: Annotated[Text | None, Official("OldDeclDate", 20, "原证申请日期")] = None
    """Old application date"""
    old_issue_date: Annotated[Text | None, Official("OldIssueDate", 20, "原证签发日期")] = None
    """Old issue date"""


class NonParty(Block):
    """NonpartyCorp: a third-party invoicer (第三方企业)."""

    line_no: Annotated[int, Official("SortNo", None, "序号")]
    """Number"""
    name: Annotated[Text, Official("EntName", 500, "企业名称")]
    """Company"""
    address: Annotated[Text, Official("EntAddr", 1000, "企业地址")]
    """Address"""
    country_code: Annotated[Text, Official("EntCountryCode", 3, "国别代码")]
    """Country"""
    country_name: Annotated[Text, Official("EntCountryName", 100, "国别名称")]
    """Country name"""


class Invoice(Block):
    """OriInv: one invoice of an RCEP certificate (发票)."""

    certificate_number: Annotated[Text | None, Official("CertNo", 20, "证书编号", may_be_empty=True)] = None
    """Certificate number: type + YY + 9-char organisation code + 4 serial"""
    invoice_no: Annotated[Text, Official("InvNo", 50, "发票号")]
    """Invoice number"""
    contract_no: Annotated[Text | None, Official("ContractNo", 50, "合同号")] = None
    """Contract"""
    letter_of_credit_no: Annotated[Text | None, Official("LcNo", 50, "信用证号")] = None
    """Letter of credit"""
    amount: Annotated[Text | None, Official("Value", 20, "总金额")] = None
    """Amount"""
    currency: Annotated[Text, Official("Curr", 10, "币制")]
    """Alpha code CNY USD EUR HKD GBP JPY KRW CAD AUD CHF SGD …"""
    price_terms: Annotated[Text, Official("PriceClause", 20, "价格条款")]
    """Price term"""
    invoice_terms: Annotated[Text | None, Official("SpecInvTerms", 1000, "发票特殊条款")] = None
    """Special terms of the invoice"""
    invoice_date: Annotated[Text, Official("InvDate", 20, "发票日期")]
    """YYYY-MM-DD"""


class Declaration(Block):
    """One declaration for a certificate of origin, dialect-free. A line break is ``\\n``; an empty text is None."""

    number: Annotated[Text | None, Official("CertNo", 20, "证书编号", may_be_empty=True)] = None
    """Certificate number: type + YY + 9-char organisation code + 4 serial"""
    apply_type: Annotated[Text, Official("ApplyType", 1, "申请类型")]
    """0 store as draft, 1 declare"""
    certificate_status: Annotated[Text, Official("CertStatus", 1, "证书状态")]
    """0 new, 1 amended (更改证), 2 re-issued (重发证); newer docs add 3 amended and re-issued"""
    certificate_type: Annotated[Text, Official("CertType", 2, "证书类型")]
    """Codes: codelists/certificate_types.csv"""
    owner_filing_no: Annotated[Text | None, Official("EntMgrNo", 19, "货主企业备案号", may_be_empty=True)] = None
    """Filing number of the goods owner; the element must be there, may be empty"""
    exporter_code: Annotated[Text, Official("CiqRegNo", 18, "出口商代码")]
    """Exporter code = 18-char USCC"""
    applicant_code: Annotated[Text, Official("AplRegNo", 18, "录入企业代码")]
    """Entering company (agent or self) = USCC"""
    company_name: Annotated[Text, Official("EtpsName", 400, "企业名称(中文)")]
    """Chinese company name"""
    declarant_name: Annotated[Text | None, Official("ApplName", 20, "申报员姓名")] = None
    """Declarant name"""
    declarant_id: Annotated[Text | None, Official("Applicant", 18, "申报员身份证号")] = None
    """Declarant ID-card number (personal data: mask in logs)"""
    declarant_phone: Annotated[Text | None, Official("ApplTel", 30, "申报员电话")] = None
    """Declarant phone"""
    issuing_office: Annotated[Text | None, Official("OrgCode", 20, "签证机构代码")] = None
    """Issuing customs, 4-digit 关区 code"""
    collecting_office: Annotated[Text | None, Official("FetchPlace", 20, "领证机构")] = None
    """Collecting customs; must equal OrgCode (manual-001-3)"""
    application_place: Annotated[Text | None, Official("AplAdd", 30, "申请地址")] = None
    """Place of application in English, e.g. NINGBO, CHINA"""
    invoice_date: Annotated[Text | None, Official("InvDate", 10, "发票日期")] = None
    """YYYY-MM-DD"""
    invoice_no: Annotated[Text | None, Official("InvNo", 50, "发票号")] = None
    """Invoice number"""
    application_date: Annotated[Text | None, Official("AplDate", 10, "申请日期")] = None
    """YYYY-MM-DD"""
    destination: Annotated[Text | None, Official("DestCountry", 80, "目的国(英文)")] = None
    """Destination, English"""
    destination_code: Annotated[Text | None, Official("DestCountryCode", 4, "目的国代码")] = None
    """ISO 3166-1 numeric"""
    destination_name_zh: Annotated[Text | None, Official("DestCountryName", 50, "目的国(中文)")] = None
    """Destination, Chinese"""
    exporter: Annotated[Text | None, Official("Exporter", 400, "出口商")] = None
    """English name + address block (multi-line, '/n')"""
    consignee: Annotated[Text | None, Official("Consignee", 400, "进口商")] = None
    """Consignee block"""
    special_clause: Annotated[Text | None, Official("GoodsSpecClause", 2000, "特殊条款")] = None
    """Special clause of the goods column"""
    marks: Annotated[Text | None, Official("Mark", 2000, "唛头")] = None
    """Shipping marks, N/M when none"""
    loading_port: Annotated[Text | None, Official("LoadPort", 50, "启运港")] = None
    """Port of loading"""
    discharge_port: Annotated[Text | None, Official("UnloadPort", 50, "卸货港")] = None
    """Port of discharge"""
    transport_means: Annotated[Text | None, Official("TransMeans", 100, "运输方式")] = None
    """Means of transport, text BY SEA/AIR/RAIL/TRUCK/POST"""
    vessel: Annotated[Text | None, Official("TransName", 100, "船名/航次")] = None
    """Vessel, flight, voyage"""
    transit_code: Annotated[Text | None, Official("TransCountryCode", 4, "中转国代码")] = None
    """Transit country code"""
    transit_name: Annotated[Text | None, Official("TransCountryName", 150, "中转国名称")] = None
    """Transit country name"""
    transit_port: Annotated[Text | None, Official("TransPort", 50, "转运港")] = None
    """Transit port"""
    destination_port: Annotated[Text | None, Official("DestPort", 50, "目的港")] = None
    """Final port"""
    transport_details: Annotated[Text | None, Official("TransDetails", 630, "运输细节")] = None
    """'FROM a TO b VIA c BY SEA', generated then editable"""
    shipment_date: Annotated[Text | None, Official("IntendExpDate", 10, "出运日期")] = None
    """Date of shipment"""
    trade_mode: Annotated[Text | None, Official("TradeModeCode", 4, "贸易方式代码")] = None
    """CoO code list 0-10,33,34 (codelists/trade_modes.csv)"""
    fob_value: Annotated[Text | None, Official("FOBValue", 25, "FOB值")] = None
    """FOB value"""
    total_amount: Annotated[Text | None, Official("TotalAmt", 25, "总金额")] = None
    """Total amount"""
    application_note: Annotated[Text | None, Official("Note", 1000, "申请书备注")] = None
    """Remark to the examiner (not printed)"""
    contract_no: Annotated[Text | None, Official("ContractNo", 200, "合同号")] = None
    """Contract"""
    letter_of_credit_no: Annotated[Text | None, Official("LcNo", 50, "信用证号")] = None
    """Letter of credit"""
    invoice_terms: Annotated[Text | None, Official("SpecInvTerms", 1000, "发票特殊条款")] = None
    """Special terms of the invoice"""
    price_terms: Annotated[Text | None, Official("PriceTerms", 20, "价格条款")] = None
    """FOB/CIF/…"""
    currency: Annotated[Text | None, Official("Curr", 10, "币制")] = None
    """Alpha code CNY USD EUR HKD GBP JPY KRW CAD AUD CHF SGD …"""
    remarks: Annotated[Text | None, Official("Remark", 300, "证书备注")] = None
    """Remark printed in the certificate (A GE N L R P F K SE MV)"""
    producer_confidential: Annotated[Text | None, Official("ProducerSertFlag", 1, "生产商保密")] = None
    """Y/N"""
    exhibition: Annotated[Text | None, Official("ExhibitFlag", 1, "展览证书")] = None
    """0/1, Form E"""
    third_party_invoice: Annotated[Text | None, Official("ThirdPartyInvFlag", 1, "第三方发票")] = None
    """0/1; needs NonpartyCorp when 1"""
    exporter_phone: Annotated[Text | None, Official("ExporterTel", 50, "出口商电话")] = None
    """H: needed on declare"""
    exporter_fax: Annotated[Text | None, Official("ExporterFax", 50, "出口商传真")] = None
    """H"""
    exporter_email: Annotated[Text | None, Official("ExporterEmail", 50, "出口商邮箱")] = None
    """H"""
    consignee_phone: Annotated[Text | None, Official("ConsigneeTel", 50, "进口商电话")] = None
    """H"""
    consignee_fax: Annotated[Text | None, Official("ConsigneeFax", 50, "进口商传真")] = None
    """H"""
    consignee_email: Annotated[Text | None, Official("ConsigneeEmail", 50, "进口商邮箱")] = None
    """H"""
    departure_estimated: Annotated[Text | None, Official("PredictFlag", 1, "预计离港日期")] = None
    """0/1: departure date is an estimate (H NI EC HD MV CG)"""
    export_declaration_date: Annotated[Text | None, Official("ExpDeclDate", 10, "出口报关日期")] = None
    """Export declaration date"""
    origin_code: Annotated[Text | None, Official("OriCountryCode", 4, "原产国代码")] = None
    """TR, PR"""
    origin_name: Annotated[Text | None, Official("OriCountry", 30, "原产国英文名")] = None
    """TR, PR"""
    valid_until: Annotated[Text | None, Official("ChkValidDate", 10, "签发有效日期")] = None
    """Validity date"""
    contact_name: Annotated[Text | None, Official("EtpsConcEr", 30, "企业联系人")] = None
    """Contact"""
    contact_phone: Annotated[Text | None, Official("EtpsTel", 20, "企业联系电话")] = None
    """Contact phone"""
    producer: Annotated[Text | None, Official("Producer", 1000, "生产商描述")] = None
    """Producer box text"""
    assembly_process: Annotated[Text | None, Official("PrcsAssembly", 30, "加工装配工序")] = None
    """PR: process carried out in China"""
    customs_declaration_nos: Annotated[Text | None, Official("EntryId", 600, "报关单号")] = None
    """Customs declaration numbers, ';' between"""
    goods: tuple[Goods, ...] = ()
    amendment: Amendment | None = None
    non_parties: tuple[NonParty, ...] = ()
    invoices: tuple[Invoice, ...] = ()
    promise: Text
    """AplPromiseCode (申请人承诺): 1, the promise that the content is true; the only value."""


def canonical(declaration: Declaration) -> dict[str, Any]:
    """The content as plain data without absent fields, in field order: equal content gives equal data.

    The certificate number is part of it; two declarations are the same content when these are equal.
    """
    return declaration.model_dump(exclude_none=True, exclude_defaults=False)


def texts(fields: Mapping[str, Any]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Every text of a declaration as plain data, with its place: of the head, then of each list's items."""
    for name, value in fields.items():
        if isinstance(value, str):
            yield (name,), value
        elif isinstance(value, Mapping):
            yield from (((name, *place), text) for place, text in texts(value))
        elif isinstance(value, list | tuple):
            for index, block in enumerate(value):
                yield from (((name, index, *place), text) for place, text in texts(block))
