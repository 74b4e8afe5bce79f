"""Each role is killed with SIGKILL at random moments; every record arrives once and only once."""

import time

from roles import HERE, Role, until

HOST_BOARD = """
[[boards]]
name = "host"
driver = "host"
every_s = 3.0
sample_every_s = 0.2
[boards.options]
model = "stories260k-q4_0"
"""


def test_agent_killed_at_random_moments(any_broker, make_site, chance):
    site = make_site(any_broker, agent_toml="")
    site.start_collector()
    for _ in range(8):
        site.start_agent()
        site.wait_until_owed(20)
        time.sleep(chance.uniform(0.0, 0.6))
        site.agent.kill()
    site.settle()
    ledger = site.judge()
    assert len(ledger.rows) == 9


def test_agent_with_a_board_killed_and_restarted(any_broker, make_site, chance):
    site = make_site(any_broker)
    site.agent = site.make_agent("agent-with-board", "")
    config = site.folder / "agent-with-board.toml"
    config.write_text(config.read_text() + HOST_BOARD)
    site.start_collector()
    for _ in range(3):
        site.start_agent("--pause-ms", "20")
        site.wait_until_owed(20)
        time.sleep(chance.uniform(0.5, 2.5))
        site.agent.kill()
    site.start_agent("--count", "5")

    def results() -> int:
        return sum(type(record.body).__name__ == "Result" for _, _, record in site.stored())

    until("a run reached the store", results)
    assert site.agent.stop() == 0
    config.write_text(config.read_text().replace(HOST_BOARD, ""))
    site.settle()
    site.judge()


def test_collector_killed_at_random_moments(any_broker, make_site, chance):
    site = make_site(any_broker)
    site.start_collector()
    site.start_agent()
    for _ in range(6):
        site.wait_until_stored(20)
        time.sleep(chance.uniform(0.0, 0.4))
        site.collector.kill()
        site.start_collector()
    site.agent.stop()
    site.settle()
    site.judge()


def test_collector_killed_between_store_and_state(any_broker, make_site, chance):
    site = make_site(any_broker)
    dying = Role("dying", site.folder, [str(HERE / "dying_collector.py"), "--config", str(site.collector_config)])
    site.roles.append(dying)
    site.start_agent()
    for _ in range(5):
        dying.start("--die-at", str(chance.randint(2, 12)))
        assert dying.process is not None
        assert dying.process.wait(60) == -9, dying.tail()
    site.agent.stop()
    site.start_collector()
    site.settle()
    ledger = site.judge()
    assert sum(row.stored_on_word for row in ledger.rows) == 0


def test_broker_killed_at_random_moments(any_broker, make_site, chance):
    site = make_site(any_broker)
    site.start_collector()
    site.start_agent("--pause-ms", "5")
    for _ in range(4):
        site.wait_until_stored(10)
        time.sleep(chance.uniform(0.0, 0.3))
        seen = [(role, role.times_said("no broker at")) for role in (site.agent, site.collector)]
        any_broker.kill()
        for role, before in seen:
            until("the loss is noticed", lambda role=role, before=before: role.times_said("no broker at") > before)
        any_broker.start()
    site.wait_until_stored(1)
    site.agent.stop()
    site.settle()
    site.judge()
