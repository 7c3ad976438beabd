"""Airflow on the work that orchestrators are measured with.

airflow_run.py FOLDER CRONS PART…      parts: chain many fan start cron
"""

import os
import pathlib
import sqlite3
import sys

import driven

BIN = pathlib.Path(sys.executable).parent
TASKS = 40
MANY = (100,)
FAN = (100,)
RUN_SECONDS = 400

DAGS = f"""
from airflow.sdk import DAG, task


@task
def nothing():
    pass


with DAG("chain", schedule=None):
    before = nothing.override(task_id="step_0")()
    for index in range(1, {TASKS}):
        after = nothing.override(task_id=f"step_{{index}}")()
        before >> after
        before = after

for count in {MANY}:
    with DAG(f"many_{{count}}", schedule=None):
        for index in range(count):
            nothing.override(task_id=f"step_{{index}}")()

for count in {FAN}:
    with DAG(f"fan_{{count}}", schedule=None):
        source = nothing.override(task_id="source")()
        join = nothing.override(task_id="join")()
        for index in range(count):
            source >> nothing.override(task_id=f"step_{{index}}")() >> join
"""

CRONS = """
import datetime

from airflow.sdk import DAG, task


@task
def nothing():
    pass


for index in range(COUNT):
    with DAG(f"cron_{index}", schedule="* * * * *", start_date=datetime.datetime(2026, 1, 1), catchup=False):
        nothing()
"""


def main(folder, crons, *wanted):
    driven.end_with_parent()
    home = pathlib.Path(folder) / "home"
    (home / "dags").mkdir(parents=True)
    (home / "dags" / "work.py").write_text(DAGS)
    crons = int(crons) if "cron" in wanted else 0
    (home / "dags" / "crons.py").write_text(CRONS.replace("COUNT", str(crons)))
    port = driven.free_port()
    environment = {
        **os.environ,
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": f"http://127.0.0.1:{port}",
        "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(driven.free_port()),
        "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(driven.free_port()),
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    }
    with driven.Server([str(BIN / "airflow"), "standalone"], environment, folder) as server:

        def is_healthy():
            told = driven.ask(f"http://127.0.0.1:{port}/api/v2/monitor/health")
            parts = ("metadatabase", "scheduler", "dag_processor", "triggerer")
            return all(told[part]["status"] == "healthy" for part in parts)

        _, seconds = server.healthy(is_healthy, 240)
        airflow = Airflow(f"http://127.0.0.1:{port}", home)

        def start():
            driven.tell("start", seconds)
            server.tell_idle()

        def chain():
            seconds = airflow.run("chain", TASKS)
            driven.tell("chain.process", seconds * 1000 / TASKS)

        def many():
            for count in MANY:
                driven.tell(f"many.{count}", count / airflow.run(f"many_{count}", count))

        def fan():
            for count in FAN:
                driven.tell(f"fan.{count}", airflow.run(f"fan_{count}", count + 2) * 1000 / (count + 2))

        def cron():
            airflow.crons(crons)

        driven.perform({"start": start, "chain": chain, "many": many, "fan": fan, "cron": cron}, wanted)


class Airflow:
    def __init__(self, url, home):
        self.url = url
        self.database = home / "airflow.db"
        self.token = driven.until("a token", lambda: driven.ask(f"{url}/auth/token")["access_token"], 60)

    def ask(self, path, body=None, method=None):
        return driven.ask(f"{self.url}/api/v2/{path}", body, method, self.token)

    def rows(self, sql, *given):
        connection = sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=30)
        try:
            return connection.execute(sql, given).fetchall()
        finally:
            connection.close()

    def run(self, dag, tasks):
        """Seconds of a run from its begin to its end, as recorded; all its tasks must have succeeded."""
        driven.until(f"{dag} is known", lambda: self.ask(f"dags/{dag}"), 120, 0.5)
        self.ask(f"dags/{dag}", {"is_paused": False}, "PATCH")
        run = self.ask(f"dags/{dag}/dagRuns", {"logical_date": None}, "POST")["dag_run_id"]

        def ended():
            # Looked at in the file, so that no question is in its way.
            (row,) = self.rows("select state from dag_run where dag_id = ? and run_id = ?", dag, run)
            return row[0] if row[0] in ("success", "failed") else None

        state = driven.until(f"{dag} has ended", ended, RUN_SECONDS, 0.5)
        counted = "select count(*) from task_instance where dag_id = ? and run_id = ? and state = 'success'"
        ((succeeded,),) = self.rows(counted, dag, run)
        assert (state, succeeded) == ("success", tasks), (state, succeeded)
        times = "(julianday(end_date) - julianday(start_date)) * 86400"
        ((seconds,),) = self.rows(f"select {times} from dag_run where dag_id = ? and run_id = ?", dag, run)
        return seconds

    def crons(self, count):
        names = [f"cron_{index}" for index in range(count)]
        last = f"dags/{names[-1]}"
        driven.until("all crons are known", lambda: self.ask(last), 120, 0.5)
        self.ask("dags?dag_id_pattern=cron_%25", {"is_paused": False}, "PATCH")
        marks = driven.wait_for_marks()
        epoch = "(julianday({}) - 2440587.5) * 86400"
        starts = self.rows(
            f"select d.dag_id, {epoch.format('d.run_after')}, {epoch.format('t.start_date')} from dag_run d "
            "join task_instance t on t.dag_id = d.dag_id and t.run_id = d.run_id "
            "where d.dag_id like 'cron%' and t.start_date is not null"
        )
        driven.tell_crons(names, marks, starts)


main(*sys.argv[1:])
