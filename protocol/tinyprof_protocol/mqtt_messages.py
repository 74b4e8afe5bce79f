"""Messages as the connection takes and gives them, and their MQTT 5 properties."""

from dataclasses import dataclass
from functools import lru_cache

from msgspec import Struct
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties


@dataclass(frozen=True, slots=True)
class Publication:
    """A message to publish."""

    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = False
    expiry_s: int | None = None
    response_topic: str | None = None
    correlation: bytes | None = None


class Message(Struct, frozen=True, gc=False):
    """A message that came."""

    topic: str
    payload: bytes
    retain: bool
    response_topic: str | None
    correlation: bytes | None


@dataclass(frozen=True, slots=True)
class Published:
    """What became of a publication: acknowledged by the broker, refused with a reason, or lost with its connection."""

    token: int
    outcome: str
    """`acknowledged`, `refused` or `lost`."""
    reason: str = ""


def properties_of(publication: Publication, packet: int) -> Properties | None:
    """The properties of a publication, for a packet of a type (`PUBLISH`, `WILLMESSAGE`); None if it has none."""
    if publication.response_topic is None and publication.correlation is None:
        if publication.expiry_s is None:
            return None
        if packet == PacketTypes.PUBLISH:
            return _expiry_alone(publication.expiry_s)
    properties = Properties(packet)  # type: ignore[no-untyped-call]
    if publication.expiry_s is not None:
        properties.MessageExpiryInterval = publication.expiry_s
    if publication.response_topic is not None:
        properties.ResponseTopic = publication.response_topic
    if publication.correlation is not None:
        properties.CorrelationData = publication.correlation
    return properties


class _Packed(Properties):
    """Properties of a PUBLISH that are made once and sent many times; paho alone would pack them for each message."""

    _packed: bytes

    def __init__(self, expiry_s: int) -> None:
        super().__init__(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        self.MessageExpiryInterval = expiry_s
        # paho's own __setattr__ takes names of properties only.
        object.__setattr__(self, "_packed", super().pack())  # type: ignore[no-untyped-call]

    def pack(self) -> bytes:
        """The bytes as they travel."""
        return self._packed


@lru_cache(maxsize=256)
def _expiry_alone(expiry_s: int) -> Properties:
    return _Packed(expiry_s)
