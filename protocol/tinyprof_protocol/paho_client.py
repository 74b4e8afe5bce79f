"""How a paho client is set up: MQTT 5, its bounds, who it is to the broker, TLS, its last will, and no session."""

import socket
import ssl
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tinyprof_protocol.broker_address import BrokerAddress
from tinyprof_protocol.mqtt_messages import Publication
from tinyprof_protocol.network_loop import BufferedClient

MAX_QUEUED = 1000


def paho_client(
    address: BrokerAddress, client_id: str, will: Publication | None, max_inflight: int, connect_timeout_s: float
) -> BufferedClient:
    """A client for one connection, without callbacks. Raises OSError and ValueError where certificates are no good."""
    client = BufferedClient(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=paho.MQTTv5)
    client.connect_timeout = connect_timeout_s
    client.max_inflight_messages_set(max_inflight)
    client.max_queued_messages_set(MAX_QUEUED)
    if address.username is not None:
        client.username_pw_set(address.username, address.password)
    if address.tls:
        ca_file = str(address.ca_file) if address.ca_file else None
        client.tls_set(ca_certs=ca_file, tls_version=ssl.PROTOCOL_TLS_CLIENT)
    if will is not None:
        client.will_set(will.topic, will.payload, will.qos, will.retain)
    client.on_socket_open = _send_at_once
    return client


def no_session() -> Properties:
    """The broker remembers nothing of a client that has gone."""
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.SessionExpiryInterval = 0
    return properties


def _send_at_once(_client: paho.Client, _data: Any, opened: Any) -> None:
    """Small packets must not wait for the acknowledgement of earlier ones: a stream of PUBACKs stands still else."""
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
