"""The demo: broker, collector, agent and boards as processes of this machine, on loopback, with nothing left behind."""
