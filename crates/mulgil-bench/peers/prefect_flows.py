"""The flows that Prefect is measured with; read by its own processes too."""

from prefect import flow, task
from prefect.task_runners import ProcessPoolTaskRunner

TASKS = 40


@task
def step(before):
    return before + 1


@task
def nothing(number):
    return number


@task
def source():
    return 0


@task
def middle(before, number):
    return number


@task
def join(numbers):
    return len(numbers)


@flow
def chain():
    before = 0
    for _ in range(TASKS):
        before = step(before)
    return before


@flow(task_runner=ProcessPoolTaskRunner(max_workers=1))
def chain_in_a_process():
    before = 0
    for _ in range(TASKS):
        before = step.submit(before).result()
    return before


@flow
def many(count):
    futures = [nothing.submit(number) for number in range(count)]
    return len([future.result() for future in futures])


@flow
def fan(count):
    begun = source.submit()
    middles = [middle.submit(begun, number) for number in range(count)]
    return join.submit(middles).result()


@flow
def cron():
    nothing(1)
