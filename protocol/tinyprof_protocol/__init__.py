"""What the roles say to each other: names, records, messages, the codec and the MQTT connection."""
