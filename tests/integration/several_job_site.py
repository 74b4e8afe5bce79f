"""Several collectors whose agents have boards that answer at once, for what happens to jobs."""

from collections import Counter
from contextlib import suppress

import instant_agent
from redis_server import RedisServer
from roles import HERE, Role, until
from several_site import AGENTS, SeveralSite

from tinyprof.board_names import BoardRef
from tinyprof.fleet import Fleet, FleetError
from tinyprof.job_handle import FleetJob
from tinyprof_protocol.records import Result

BOARDS = [BoardRef(node, f"{name}-0") for name, node in AGENTS.items()]
"""One on each half."""


class SeveralJobSite(SeveralSite):
    """An agent on each half whose board answers at once, but while it is held."""

    def _make_agent_of(self, name: str) -> Role:
        config = self.folder / f"{name}.toml"
        config.write_text(instant_agent.configuration(self.broker.url, self.folder, [f"{name}-0"], name))
        hold = str(self.folder / f"hold-{name}-0")
        self.roles.append(
            Role(name, self.folder, [str(HERE / "instant_agent.py"), "--config", str(config), "--hold", hold])
        )
        return self.roles[-1]

    def start(self, shares: dict[str, str]) -> None:
        for name, partitions in shares.items():
            self.serve(name, partitions)
        for agent in self.agents.values():
            agent.start()
            agent.wait_for("the agent is ready")
        until("the boards are known", self._boards_are_known)

    def _boards_are_known(self) -> bool:
        with suppress(FleetError), self.fleet(3.0) as fleet:
            return len(fleet.boards().boards) == len(AGENTS)
        return False

    def hold(self, *boards: BoardRef) -> None:
        for one in boards:
            (self.folder / f"hold-{one.board}").touch()

    def release(self, *boards: BoardRef) -> None:
        for one in boards:
            (self.folder / f"hold-{one.board}").unlink()

    def keep_busy(self, fleet: Fleet, *boards: BoardRef) -> list[FleetJob]:
        """Boards that have a run of their own which goes on until they are released."""
        self.hold(*boards)
        jobs = [fleet.submit(f"{one.node}/{one.board}", suite="instant", use_cache=False) for one in boards]
        until("they are at it", lambda: all(job.state == "started" for job in jobs))
        return jobs

    def results(self) -> Counter[str]:
        """How many results each job has in the database."""
        bodies = [record.body for _, _, record in self.stored()]
        return Counter(body.job_id.hex() for body in bodies if isinstance(body, Result) and body.job_id is not None)

    def offered(self, redis: RedisServer) -> int:
        """How many runs the collectors offer to each other."""
        with redis.client() as client:
            return len(client.keys("*:job-offer:*"))
