"""Prefect on the work that orchestrators are measured with.

prefect_run.py FOLDER CRONS PART…      parts: chain many fan start cron
"""

import datetime
import os
import pathlib
import subprocess
import sys
import time

import driven

BIN = pathlib.Path(sys.executable).parent
MANY = (1_000,)
FAN = (100, 1_000)


def main(folder, crons, *wanted):
    driven.end_with_parent()
    port = driven.free_port()
    api = f"http://127.0.0.1:{port}/api"
    environment = {
        **os.environ,
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "PREFECT_HOME": str(pathlib.Path(folder) / "home"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }
    words = [str(BIN / "prefect"), "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with driven.Server(words, environment, folder) as server:
        _, seconds = server.healthy(lambda: driven.ask(f"{api}/health"), 120)
        environment["PREFECT_API_URL"] = api
        os.environ.update(environment)

        def start():
            driven.tell("start", seconds)
            server.tell_idle()

        parts = {"start": start, **work(api), "cron": lambda: cron(api, folder, int(crons))}
        driven.perform(parts, wanted)


def work(api):
    """What is done in this process; its packages are read once a server is there."""

    def taken(flow, expected, tasks, *given):
        began = time.perf_counter()
        state = flow(*given, return_state=True)
        seconds = time.perf_counter() - began
        assert state.is_completed(), state
        assert state.result() == expected, state.result()
        # Its server is told in the background.
        asked = {
            "flow_runs": {"id": {"any_": [str(state.state_details.flow_run_id)]}},
            "task_runs": {"state": {"type": {"any_": ["COMPLETED"]}}},
        }
        driven.until(
            f"{tasks} tasks are completed", lambda: driven.ask(f"{api}/task_runs/count", asked) == tasks, 120, 0.2
        )
        return seconds

    def chain():
        import prefect_flows as flows

        taken(flows.chain, flows.TASKS, flows.TASKS)
        seconds = taken(flows.chain, flows.TASKS, flows.TASKS)
        driven.tell("chain.in-process", seconds * 1000 / flows.TASKS)
        seconds = taken(flows.chain_in_a_process, flows.TASKS, flows.TASKS)
        driven.tell("chain.warm", seconds * 1000 / flows.TASKS)

    def many():
        import prefect_flows as flows

        taken(flows.many, 10, 10, 10)
        for count in MANY:
            driven.tell(f"many.{count}", count / taken(flows.many, count, count, count))

    def fan():
        import prefect_flows as flows

        taken(flows.fan, 10, 12, 10)
        for count in FAN:
            driven.tell(f"fan.{count}", taken(flows.fan, count, count + 2, count) * 1000 / (count + 2))

    return {"chain": chain, "many": many, "fan": fan}


def cron(api, folder, count):
    """Deployments that one `serve` starts, each as a process."""
    names = [f"cron-{index}" for index in range(count)]
    script = (
        "import sys; from prefect import serve; import prefect_flows\n"
        "serve(*[prefect_flows.cron.to_deployment(name=name, cron='* * * * *') for name in sys.argv[1:]], limit=None)"
    )
    own = pathlib.Path(__file__).parent
    environment = {**os.environ, "PYTHONPATH": str(own)}
    log = (pathlib.Path(folder) / "serve.log").open("wb")
    served = subprocess.Popen(
        [sys.executable, "-c", script, *names], cwd=folder, env=environment, stdout=log, stderr=log,
        start_new_session=True,
    )
    try:
        everything = {"limit": 200}
        deployed = {}

        def all_deployed():
            deployed.update({one["id"]: one["name"] for one in driven.ask(f"{api}/deployments/filter", everything)})
            return len(deployed) == count

        driven.until("all are deployed", all_deployed, 60, 0.2)
        marks = driven.wait_for_marks()
        runs = []
        while True:
            page = driven.ask(f"{api}/flow_runs/filter", {"limit": 200, "offset": len(runs)})
            runs.extend(page)
            if len(page) < 200:
                break
    finally:
        pids = driven.tree(served.pid)
        served.terminate()
        try:
            served.wait(10)
        except subprocess.TimeoutExpired:
            pass
        for pid in pids:
            try:
                os.kill(pid, 9)
            except ProcessLookupError:
                pass

    def seconds(text):
        return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()

    starts = [
        (deployed[run["deployment_id"]], seconds(run["expected_start_time"]), seconds(run["start_time"]))
        for run in runs
        if run.get("deployment_id") in deployed and run.get("start_time")
    ]
    driven.tell_crons(names, marks, starts)


# Its processes read this file again.
if __name__ == "__main__":
    main(*sys.argv[1:])
