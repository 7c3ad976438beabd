//! Large projects: loading takes time in proportion to their size.

use std::{fmt::Write as _, time::Instant};

use crate::{Folder, printed};

/// A project of that many models: chains of ten, with views, windows, tests and macros.
fn large(models: usize) -> Folder {
    let folder = Folder::new(
        "== mulgil.yml
name: shop
sources: {raw: {events: {files: 'data/events_{YYYYMMDD}.csv', event_time: event_at}}}
== macros/m.sql
{% macro cents(x) %}({{ x }} * 100){% endmacro %}
",
    );
    let mut schema = "models:\n".to_owned();
    for index in 0..models {
        let input = if index % 10 == 0 {
            "{{ source('raw', 'events') }}".to_owned()
        } else {
            format!("{{{{ ref('model_{}') }}}}", index - 1)
        };
        let config = match index % 5 {
            0 => "{{ config(interval='day', event_time='event_at', begin='2022-01-01', schedule='0 5 * * *') }}",
            1 => "{{ config(materialized='view') }}",
            2 => "{{ config(interval='day', event_time='event_at', lookback=2, tags=['x', 'y']) }}",
            3 => "{{ config(materialized='table') }}",
            _ => "{{ config(materialized='ephemeral') }}",
        };
        let text = format!(
            "{config}\nwith input as (\n  select * from {input}\n)\n\
             select event_at, user_id, {{{{ cents('amount') }}}} as amount,\n  \
             case when kind = 'a' then 1 when kind = 'b' then 2 else 3 end as kind\n\
             from input\nwhere amount > 0 and user_id is not null\n"
        );
        folder.write(&format!("models/group_{}/model_{index}.sql", index / 100), text);
        if index % 5 != 4 {
            let _ = write!(
                schema,
                "  - name: model_{index}\n    description: A model.\n    columns:\n      - {{name: user_id, data_tests: [not_null]}}\n"
            );
        }
    }
    folder.write("models/schema.yml", schema);
    folder
}

#[test]
fn loading_is_not_quadratic() {
    let time = |models| {
        let folder = large(models);
        let start = Instant::now();
        let loaded = folder.load();
        let spent = start.elapsed();
        assert!(loaded.project.is_some(), "{}", printed(&loaded));
        println!("{models} models: {spent:?}");
        spent
    };
    let (small, big) = (time(200), time(2000));
    // Ten times the models in at most forty times the time: room for a busy machine, not for a square.
    assert!(big < small * 40, "{small:?} for 200, {big:?} for 2000");
}
