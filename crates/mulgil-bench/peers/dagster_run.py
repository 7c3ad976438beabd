"""Dagster on the work that orchestrators are measured with.

dagster_run.py FOLDER CRONS PART…      parts: chain many fan start cron
"""

import datetime
import os
import pathlib
import sys
import time

import driven

BIN = pathlib.Path(sys.executable).parent
MANY = (1_000,)
FAN = (100, 1_000)


def main(folder, crons, *wanted):
    driven.end_with_parent()
    home = pathlib.Path(folder) / "home"
    home.mkdir(parents=True)
    (home / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    os.environ.update(DAGSTER_HOME=str(home), DAGSTER_DISABLE_TELEMETRY="1")
    import dagster

    import dagster_jobs as jobs

    dagster.DagsterInstance.get()

    def taken(run):
        """Seconds that a run took, which must have succeeded in all its steps."""
        with dagster.DagsterInstance.get() as instance:
            began = time.perf_counter()
            result = run(instance)
            seconds = time.perf_counter() - began
            assert result.success, result
            steps = [event for event in result.all_events if event.is_step_success]
            return seconds, len(steps)

    def in_process(job):
        return taken(lambda instance: job.execute_in_process(instance=instance))

    def chain():
        in_process(jobs.chain)
        seconds, steps = in_process(jobs.chain)
        assert steps == jobs.TASKS, steps
        driven.tell("chain.in-process", seconds * 1000 / steps)
        seconds, steps = taken(
            lambda instance: dagster.execute_job(dagster.reconstructable(jobs.chain), instance=instance)
        )
        assert steps == jobs.TASKS, steps
        driven.tell("chain.process", seconds * 1000 / steps)

    def many():
        for count in MANY:
            seconds, steps = in_process(jobs.many(count))
            assert steps == count, steps
            driven.tell(f"many.{count}", steps / seconds)

    def fan():
        for count in FAN:
            seconds, steps = in_process(jobs.fan(count))
            assert steps == count + 2, steps
            driven.tell(f"fan.{count}", seconds * 1000 / steps)

    def server(count):
        port = driven.free_port()
        words = [str(BIN / "dagster"), "dev", "-h", "127.0.0.1", "-p", str(port), "-f", jobs.__file__]
        environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "CRONS": str(count)}
        return port, driven.Server(words, environment, folder)

    def start():
        port, dev = server(0)
        with dev:
            _, seconds = dev.healthy(lambda: driven.ask(f"http://127.0.0.1:{port}/server_info"), 120)
            driven.tell("start", seconds)
            dev.tell_idle()

    def cron():
        names = [f"cron_{index}" for index in range(int(crons))]
        port, dev = server(crons)
        with dev:
            dev.healthy(lambda: driven.ask(f"http://127.0.0.1:{port}/server_info"), 120)
            marks = driven.wait_for_marks()
        with dagster.DagsterInstance.get() as instance:
            records = instance.get_run_records(dagster.RunsFilter())
            starts = []
            for record in records:
                run = record.dagster_run
                due = run.tags.get(".dagster/scheduled_execution_time")
                steps = instance.get_run_step_stats(run.run_id)
                if due and steps and steps[0].start_time:
                    due = datetime.datetime.fromisoformat(due).timestamp()
                    starts.append((run.job_name, due, steps[0].start_time))
        driven.tell_crons(names, marks, starts)

    driven.perform({"chain": chain, "many": many, "fan": fan, "start": start, "cron": cron}, wanted)


# Its processes read this file again.
if __name__ == "__main__":
    main(*sys.argv[1:])
