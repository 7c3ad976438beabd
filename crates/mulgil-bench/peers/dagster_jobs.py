"""The jobs and schedules that Dagster is measured with; read by its own processes too."""

import os

from dagster import DefaultScheduleStatus, Definitions, In, Nothing, ScheduleDefinition, job, op

TASKS = 40
CRONS = int(os.environ.get("CRONS", "0"))


@op(ins={"after": In(Nothing)})
def follows():
    pass


@op
def first():
    return 1


@op
def nothing():
    pass


@op(ins={"before": In(Nothing)})
def middle():
    pass


@op(ins={"before": In(Nothing)})
def last():
    pass


@job
def chain():
    before = first()
    for index in range(TASKS - 1):
        before = follows.alias(f"follows_{index}")(after=before)


def many(count):
    @job(name=f"many_{count}")
    def independent():
        for index in range(count):
            nothing.alias(f"nothing_{index}")()

    return independent


def fan(count):
    @job(name=f"fan_{count}")
    def fans():
        source = first()
        last([middle.alias(f"middle_{index}")(before=source) for index in range(count)])

    return fans


def cron(index):
    @job(name=f"cron_{index}")
    def one():
        nothing()

    return ScheduleDefinition(
        name=f"every_minute_{index}", job=one, cron_schedule="* * * * *", default_status=DefaultScheduleStatus.RUNNING
    )


crons = [cron(index) for index in range(CRONS)]
defs = Definitions(jobs=[chain], schedules=crons)
