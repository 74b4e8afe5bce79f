"""Messages as the connection takes and gives them, and their MQTT 5 properties."""

from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True)
class Message:
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
    if publication.expiry_s is None and publication.response_topic is None and publication.correlation is None:
        return None
    properties = Properties(packet)  # type: ignore[no-untyped-call]
    if publication.expiry_s is not None:
        properties.MessageExpiryInterval = publication.expiry_s
    if publication.response_topic is not None:
        properties.ResponseTopic = publication.response_topic
    if publication.correlation is not None:
        properties.CorrelationData = publication.correlation
    return properties
