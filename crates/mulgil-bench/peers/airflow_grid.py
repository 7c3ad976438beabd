"""The grid of Airflow's page of a DAG with many runs.

airflow_grid.py FOLDER PYTHON      prints the runs, how many of them are shown, the bytes over the wire, and
                                   milliseconds until the grid is drawn;
                                   PYTHON has playwright
"""

import json
import os
import pathlib
import sqlite3
import subprocess
import sys
import time
import uuid

import driven

BIN = pathlib.Path(sys.executable).parent
RUNS = 10_000
STEPS = 20
# What Airflow has to itself between the making of the runs and the first look.
REST_SECONDS = 20

DAG = f"""
import datetime
from airflow.sdk import DAG, task


@task
def nothing():
    pass


with DAG("hourly", schedule="@hourly", start_date=datetime.datetime(2026, 1, 1), catchup=False):
    for index in range({STEPS}):
        nothing.override(task_id=f"s{{index:02}}")()
"""

BROWSER = """
import json, os, shutil, statistics, sys
from playwright.sync_api import sync_playwright

address, loads = sys.argv[1], int(sys.argv[2])
program = os.environ.get("MULGIL_TEST_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
flags = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
with sync_playwright() as playwright:
    browser = playwright.chromium.launch(executable_path=program, args=flags)
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    # The grid as wide as its page lets it be, and as many runs as it can be asked for.
    context.add_init_script("localStorage.setItem('dag_runs_limit-hourly', '365')")
    panels = json.dumps({"details-panel,main-panel": {"expandToSizes": {}, "layout": [80, 20]}})
    context.add_init_script(f"localStorage.setItem('react-resizable-panels:grid-ltr', {json.dumps(panels)})")
    page = context.new_page()
    times, sizes, wire = [], [], []
    page.on("requestfinished", lambda request: wire.append(request.sizes()["responseBodySize"]))
    for load in range(loads + 1):
        wire.clear()
        page.goto(address, wait_until="commit")
        page.get_by_text("s19").first.wait_for(timeout=60000)
        page.wait_for_function("document.querySelectorAll('a[href*=\\"/tasks/s\\"]').length > 100", timeout=60000)
        drawn = page.evaluate("performance.now()")
        if load:
            times.append(drawn)
            page.wait_for_timeout(1_000)
            sizes.append(sum(wire))
    shown = page.evaluate("document.querySelectorAll('a[href*=\\"/tasks/s00\\"]').length")
    print(json.dumps({"drawn": statistics.median(times), "bytes": max(sizes), "shown": shown}))
    browser.close()
"""


def copies(home, runs):
    """Gives the DAG as many ended runs as are wanted: the one that is there, as if it had ended well, copied."""
    connection = sqlite3.connect(home / "airflow.db", timeout=60)
    columns = lambda table: [row[1] for row in connection.execute(f"pragma table_info({table})")]
    copied = lambda names, new: ", ".join(new.get(name, f'"{name}"') for name in names)
    quoted = lambda names: ", ".join(f'"{name}"' for name in names)
    ended = {"start_date": "datetime('2026-06-01')", "end_date": "datetime('2026-06-01', '+1 minute')"}
    (run,) = connection.execute("select id, run_id from dag_run where dag_id = 'hourly'")
    tasks = connection.execute("select id from task_instance where dag_id = 'hourly'").fetchall()
    assert len(tasks) == STEPS, tasks
    for index in range(1, runs):
        hour = f"datetime('2026-06-01', '-{index} hours')"
        times = ("logical_date", "run_after", "data_interval_start", "data_interval_end")
        name = {"run_id": f"'copy__{index:05}'", "state": "'success'"}
        new = {**ended, **name, "id": str(run[0] + index), **{time: hour for time in times}}
        names = columns("dag_run")
        told = f"insert into dag_run ({quoted(names)}) select {copied(names, new)} from dag_run where id = ?"
        connection.execute(told, (run[0],))
        names = columns("task_instance")
        for (task,) in tasks:
            new = {**ended, **name, "id": f"'{uuid.uuid4().hex}'", "duration": "60.0"}
            told = f"insert into task_instance ({quoted(names)}) select {copied(names, new)}"
            connection.execute(f"{told} from task_instance where id = ?", (task,))
    connection.commit()
    connection.close()


def main(folder, python):
    home = pathlib.Path(folder) / "home"
    (home / "dags").mkdir(parents=True)
    (home / "dags" / "hourly.py").write_text(DAG)
    port = driven.free_port()
    address = f"http://127.0.0.1:{port}"
    environment = {
        **os.environ,
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{address}/execution/",
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": address,
        "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(driven.free_port()),
        "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(driven.free_port()),
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    }
    with driven.Server([str(BIN / "airflow"), "standalone"], environment, folder) as server:
        server.healthy(lambda: driven.ask(f"{address}/api/v2/monitor/health"), 240)
        token = driven.until("a token", lambda: driven.ask(f"{address}/auth/token")["access_token"], 60)
        ask = lambda path, body=None, method=None: driven.ask(f"{address}/api/v2/{path}", body, method, token)
        driven.until("the DAG is known", lambda: ask("dags/hourly"), 120, 0.5)
        # The DAG is paused, so that its run is there with its tasks and none of them begins.
        ask("dags/hourly/dagRuns", {"logical_date": None}, "POST")
        copies(home, RUNS)
        time.sleep(REST_SECONDS)
        script = pathlib.Path(folder) / "grid.py"
        script.write_text(BROWSER)
        said = subprocess.run(
            [python, script, f"{address}/dags/hourly", "5"], capture_output=True, text=True, check=False
        )
        assert said.returncode == 0, said.stderr[-2000:]
        print(json.dumps({"runs": RUNS, **json.loads(said.stdout.splitlines()[-1])}))


main(*sys.argv[1:])
