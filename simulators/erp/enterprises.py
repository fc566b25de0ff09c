"""Fictional exporters: valid credit codes, names that say they are examples, and who signs for them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from stdnum.cn import ric, uscc

_BASE31 = "0123456789ABCDEFGHJKLMNPQRTUWXY"
_ORGANISATION = "MA9DEM"
"""Every generated organisation code starts so (positions 9 to 14 of the credit code)."""

KeyKind = Literal["P-256", "RSA-2048"]


@dataclass(frozen=True, slots=True)
class Town:
    """Where an enterprise declares."""

    name: str
    name_zh: str
    region: str
    """First digits of the credit code (行政区划); 99 at their end belongs to no district."""
    office: str
    """4-digit code of the issuing customs, see simulators/customs/offices.csv."""


NINGBO = Town("NINGBO", "宁波", "330299", "3104")
SUZHOU = Town("SUZHOU", "苏州", "320599", "2303")
SHANGHAI = Town("SHANGHAI", "上海", "310199", "2200")
GUANGZHOU = Town("GUANGZHOU", "广州", "440199", "5100")
TOWNS = (NINGBO, SUZHOU, SHANGHAI, GUANGZHOU)


@dataclass(frozen=True, slots=True)
class Enterprise:
    """One exporter, or an agent."""

    code: str
    """USCC, 18 characters (统一社会信用代码)."""
    name: str
    name_zh: str
    address: str
    town: Town
    declarant: str
    declarant_id: str
    """Of a person born in 1900 who does not exist (申报员身份证号)."""
    phone: str
    key: KeyKind = "P-256"
    """What the enterprise signs with."""

    @property
    def organisation(self) -> str:
        """Organisation code (组织机构代码), 9 characters."""
        return self.code[8:17]

    @property
    def slug(self) -> str:
        """A name for files, mail addresses and clients."""
        return f"{self.town.name}-{self.organisation}".lower()

    @property
    def block(self) -> str:
        """English name and address, as the certificate's box shows them."""
        return f"{self.name}\n{self.address}\n{self.town.name}, CHINA"


HARBOUR = Enterprise(
    code="91330299MA9XYD0C2A",
    name="NINGBO SAMPLE HARBOUR TRADING CO., LTD.",
    name_zh="宁波样例港贸易有限公司",
    address="NO. 1 EXAMPLE ROAD, BEILUN DISTRICT,",
    town=NINGBO,
    declarant="样例一",
    declarant_id="330206190001011230",
    phone="0574-00000001",
)
PRECISION = Enterprise(
    code="91320599MA9HTQ7K6J",
    name="SUZHOU SPECIMEN PRECISION CO., LTD.",
    name_zh="苏州样本精密制造有限公司",
    address="NO. 8 MODEL STREET, SUZHOU INDUSTRIAL PARK,",
    town=SUZHOU,
    declarant="样例二",
    declarant_id="320506190002022346",
    phone="0512-00000002",
    key="RSA-2048",
)
AGENT = Enterprise(
    code="91310199MA9GWR4P61",
    name="SHANGHAI PATTERN CUSTOMS AGENCY CO., LTD.",
    name_zh="上海样式报关有限公司",
    address="NO. 20 PATTERN ROAD,",
    town=SHANGHAI,
    declarant="样例三",
    declarant_id="310106190003033454",
    phone="021-00000003",
)
ENTERPRISES: tuple[Enterprise, ...] = (HARBOUR, PRECISION)
"""The exporters of ``schemas/examples``; AGENT declares for one of them there."""


def enterprise(serial: int, town: Town) -> Enterprise:
    """The generated enterprise with this serial: the same serial, the same enterprise."""
    person = f"{town.region[:4]}0619000303{serial % 1000:03d}"
    return Enterprise(
        code=credit_code(serial, town),
        name=f"{town.name} EXAMPLE TRADING NO. {serial} CO., LTD.",
        name_zh=f"{town.name_zh}示例贸易{serial}号有限公司",
        address=f"NO. {serial} EXAMPLE ROAD",
        town=town,
        declarant="示例员",
        declarant_id=person + ric.calc_check_digit(person + "0"),
        phone=f"0574-{10000000 + serial:08d}",
    )


def credit_code(serial: int, town: Town) -> str:
    """A valid credit code: its organisation code is the serial behind a fixed head. Raises ValueError from 29791 on."""
    digits = ""
    rest = serial
    for _ in range(3):
        rest, digit = divmod(rest, len(_BASE31))
        digits = _BASE31[digit] + digits
    if rest:
        raise ValueError("there are 29791 generated enterprises in a town")
    body = f"91{town.region}{_ORGANISATION}{digits}"
    return body + uscc.calc_check_digit(body)


def many(count: int) -> Iterator[Enterprise]:
    """`count` enterprises for load: certificate numbers are counted per enterprise, type and year."""
    yield from ENTERPRISES[:count]
    for serial in range(len(ENTERPRISES), count):
        yield enterprise(serial, TOWNS[serial % len(TOWNS)])
