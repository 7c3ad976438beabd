//! Bad steps: the code, the place and what to do.

use insta::assert_snapshot;

use super::faults::told;

#[test]
fn the_kind_of_a_step() {
    assert_snapshot!(
        told("steps:
  a: {sqll: select 1}
  b: {sql: select 1, command: ls}
  c: {notebook: x.ipynb}
  d: {needs: []}
  e: {zebra: 1}
  f: select 1
  g: {sql: select 1, warm: true, retrys: 3, on: app, worker: big}
  h: {http: 'https://x', sql: select 1}
  i: {exports: {}}
"),
        @"
        MG1213 flows/f.yml:2:7 the step `a` does not say what it does: there is no kind `sqll`
          do: write `sql`
        MG1213 flows/f.yml:3:22 the step `b` is both `sql` and `command`, but a step does one thing
          + flows/f.yml:3:7 `sql`
          do: make two steps of it
        MG1214 flows/f.yml:4:7 steps of the kind `notebook` are not done yet
          do: use one of `sql`, `models`, `command` and `python`
        MG1213 flows/f.yml:5:3 the step `d` does not say what it does
          do: add one of `sql`, `models`, `command` and `python`, such as `sql: sql/load.sql`
        MG1213 flows/f.yml:6:7 the step `e` does not say what it does: there is no kind `zebra`
          do: write one of `sql`, `models`, `command` and `python`
        MG1006 flows/f.yml:7:6 the step `f` is text, but has to be a mapping (`key: value`)
          do: write a mapping (`key: value`)
        MG1219 flows/f.yml:8:22 `warm` has no meaning for the step `g`, which is `sql`
          do: remove it; it is for steps of the kind `python`
        MG1005 flows/f.yml:8:34 the step `g` has no key `retrys`
          do: write `retry`, or remove it
        MG1214 flows/f.yml:8:49 `on: app` is not done yet: SQL runs in the warehouse alone
          do: leave it out
        MG1214 flows/f.yml:8:54 `worker` of a step is not done yet
          do: leave it out
        MG1213 flows/f.yml:9:7 the step `h` is both `sql` and `http`, but a step does one thing
          + flows/f.yml:9:26 `sql`
          do: make two steps of it
        MG1213 flows/f.yml:10:7 the step `i` does not say what it does: there is no kind `exports`
          do: write `export`
        "
    );
}

#[test]
fn the_names_of_steps() {
    assert_snapshot!(
        told("steps:\n  Load: {sql: select 1}\n  -x: {sql: select 1}\n  a: {sql: select 1}\nfinally:\n  - {name: a, sql: select 1}\n  - {sql: select 1}\n"),
        @"
        MG1009 flows/f.yml:2:3 a step cannot be named `Load`: it has to begin with a small letter or a digit
          do: write `load`
        MG1009 flows/f.yml:3:3 a step cannot be named `-x`: it has to begin with a small letter or a digit
          do: write `x`
        MG1010 flows/f.yml:6:12 there are two steps named `a`
          + flows/f.yml:4:3 the other one
          do: rename one of them
        MG1007 flows/f.yml:7:5 a step in the list of `finally` has no `name`
          do: add `name:`, or write `finally:` as a mapping of names to steps
        "
    );
    assert_snapshot!(told("steps:\n  a: {sql: select 1}\n  a: {sql: select 2}\n  b: {sql: select 1, name: c}\n"), @"
    MG1004 flows/f.yml:3:3 the key `a` stands twice in one mapping, so one value would be lost
      + flows/f.yml:2:3 the first one
      do: keep one of them
    MG1219 flows/f.yml:4:28 the step `b` has its name in front of it, and a `name` besides
      do: remove `name`
    ");
}

#[test]
fn what_a_step_needs() {
    assert_snapshot!(
        told("steps:\n  load: {sql: select 1}\n  b: {sql: select 1, needs: [lod]}\n  c: {sql: select 1, needs: [c, z]}\n  d: {sql: select 1, needs: [[x]]}\n  e: {sql: select 1, needs: end}\nfinally:\n  end: {sql: select 1, needs: [load]}\n  last: {sql: select 1, run_if: failed}\n"),
        @r#"
        MG1212 flows/f.yml:3:30 the step `b` needs `lod`, which the flow does not have
          do: write `load`
        MG1211 flows/f.yml:4:30 the step `c` needs itself
          do: remove it from its `needs`
        MG1212 flows/f.yml:4:33 the step `c` needs `z`, which the flow does not have
          do: write `b`
        MG1006 flows/f.yml:5:30 the name of a step is a list, but has to be text
          do: write text
        MG1212 flows/f.yml:6:29 the step `e` needs `end`, which runs after all others
          do: move `end` from `finally:` to `steps:`, or remove it from `needs`
        MG1219 flows/f.yml:8:31 the step `end` of `finally` cannot have `needs`: it runs after all others
          do: remove `needs`, or move the step to `steps:`
        MG1219 flows/f.yml:9:33 the step `last` of `finally` runs however the others ended
          do: remove `run_if`, or ask how a step ended: `when: "{{ steps.load.state == 'failed' }}"`
        "#
    );
    assert_snapshot!(
        told("steps:\n  a: {sql: select 1, needs: [c]}\n  b: {sql: select 1, needs: [a]}\n  c:\n    sql: select 1\n    needs:\n      - d\n      - b\n  d: {sql: select 1}\n  e: {sql: select 1, needs: [a]}\n"),
        @"
        MG1211 flows/f.yml:2:30 these steps wait for each other in a circle: a → c → b → a
          + flows/f.yml:8:9 `c` needs `b`
          + flows/f.yml:3:30 `b` needs `a`
          do: remove one of these needs
        "
    );
}

#[test]
fn how_a_step_is_tried_again() {
    assert_snapshot!(
        told("steps:
  a: {sql: select 1, retry: {delay: 5m}}
  b: {sql: select 1, retry: -1}
  c: {sql: select 1, retry: {max: 5000, factor: 0, cap: 1s, delay: 5m, jitter: true}}
  d: {sql: select 1, timeout: 5, total_timeout: 0m, priority: 5000, on_lost: maybe}
  e: {sql: select 1, run_if: sometimes, allow_failure: no, pool: Big Pool}
  f: {sql: select 1, retry: often}
"),
        @"
        MG1007 flows/f.yml:2:29 `retry` does not say how many times
          do: add `max: 3`
        MG1006 flows/f.yml:3:29 `retry` cannot be `-1`
          do: write a whole number from 0
        MG1006 flows/f.yml:4:35 `max` cannot be `5000`
          do: write a whole number from 0 to 1000
        MG1006 flows/f.yml:4:49 `factor` cannot be `0`
          do: write a whole number from 1
        MG1006 flows/f.yml:4:57 `cap` cannot be `1s`
          do: write a span that is not shorter than `delay`
        MG1005 flows/f.yml:4:72 `retry` has no key `jitter`
          do: remove it; known here are `max`, `delay`, `cap` and `factor`
        MG1006 flows/f.yml:5:31 `timeout` cannot be `5`
          do: write a number and a unit: `3d`, `12h`, `30m`
        MG1006 flows/f.yml:5:49 `total_timeout` cannot be `0m`
          do: write a span that is longer than nothing, such as `20m`
        MG1006 flows/f.yml:5:63 `priority` is no whole number that it can be
          do: write a whole number from -1000 to 1000
        MG1006 flows/f.yml:5:78 `on_lost` cannot be `maybe`
          do: write one of `retry` and `fail`
        MG1006 flows/f.yml:6:30 `run_if` cannot be `sometimes`
          do: write one of `success`, `always`, `failed` and `any_success`
        MG1006 flows/f.yml:6:56 `allow_failure` cannot be `no`
          do: write `true` or `false`
        MG1009 flows/f.yml:6:66 a pool cannot be named `Big Pool`: it has to begin with a small letter or a digit
          do: write `big_pool`
        MG1006 flows/f.yml:7:29 `retry` is text, but has to be a mapping (`key: value`)
          do: write a mapping (`key: value`)
        "
    );
}

#[test]
fn files_that_steps_name() {
    assert_snapshot!(
        told("steps:
  a: {sql: sql/laod.sql}
  b: {python: tasks/load.pyy}
  c: {python: tasks/lod.py}
  d: {python: 'tasks.lod:main'}
  e: {python: 'tasks.load:main', args: [x]}
  f: {sql: ../secret.sql}
  g: {python: /etc/x.py}
  h: {command: [./run.sh, x]}
  i: {command: []}
  j: {command: ''}
  k: {sql: '-- nothing'}
  l: {python: tasks/load.py, env: {MULGIL_X: 1, '1a': 2}, args: x}
"),
        @r#"
        MG1012 flows/f.yml:2:12 there is no file `sql/laod.sql`
          do: write `sql/load.sql`
        MG1006 flows/f.yml:3:15 `python` cannot be `tasks/load.pyy`
          do: write a script, `tasks/load.py`, or a function of a module, `tasks.load:main`
        MG1012 flows/f.yml:4:15 there is no file `tasks/lod.py`
          do: write `tasks/load.py`
        MG1012 flows/f.yml:5:15 there is no file `tasks/lod.py`
          do: write `tasks/load.py`
        MG1219 flows/f.yml:6:40 `args` has a meaning only for a script: a function is given `params`
          do: write `params: {…}`
        MG1006 flows/f.yml:7:12 `../secret.sql` leads out of the project
          do: write a path from the project folder, such as `sql/load.sql`
        MG1006 flows/f.yml:8:15 `/etc/x.py` leads out of the project
          do: write a path from the project folder, such as `sql/load.sql`
        MG1012 flows/f.yml:9:17 there is no file `./run.sh`
          do: write the file, or its path from the project folder
        MG1006 flows/f.yml:10:16 `command` names no program
          do: write a list of words, `[./load.sh, --day, "{{ ds }}"]`, or a text for `sh`
        MG1006 flows/f.yml:11:16 `command` names no program
          do: write a list of words, `[./load.sh, --day, "{{ ds }}"]`, or a text for `sh`
        MG1110 flows/f.yml:12:12 the step's SQL holds no statement
          do: write what it is to do, or remove the step
        MG1009 flows/f.yml:13:36 an environment variable cannot be named `MULGIL_X`: names that begin with `MULGIL_` are the program's own
          do: rename it
        MG1009 flows/f.yml:13:49 an environment variable cannot be named `1a`: a name has letters, digits and `_`
          do: rename it
        MG1006 flows/f.yml:13:65 `args` is text, but has to be a list (`- item`)
          do: write a list (`- item`)
        "#
    );
}
