//! Incremental tables: what stays, what comes, what takes whose place.

use std::collections::BTreeMap;

use mulgil_core::{
    codes,
    project::{Incremental, Materialization, SchemaChange, Strategy},
};
use proptest::prelude::*;

use super::*;

fn merge(columns: &[&str]) -> Strategy {
    Strategy::Merge {
        unique_key: columns.iter().map(ToString::to_string).collect(),
    }
}

fn delete_insert(column: &str) -> Strategy {
    Strategy::DeleteInsert {
        unique_key: vec![column.to_owned()],
    }
}

/// A fill of the table `t` that takes in the rows of a query.
fn take_in(strategy: Strategy, sql: &str) -> FillSpec {
    FillSpec {
        materialization: Materialization::Incremental,
        incremental: Some(Incremental {
            strategy,
            on_schema_change: SchemaChange::Ignore,
            full_refresh: None,
            names_things: Vec::new(),
        }),
        replaces_all: false,
        ..fill_table("t", sql, Vec::new())
    }
}

fn with_rule(rule: SchemaChange, spec: FillSpec) -> FillSpec {
    FillSpec {
        incremental: spec.incremental.map(|how| Incremental {
            on_schema_change: rule,
            ..how
        }),
        ..spec
    }
}

impl World {
    async fn table(&self, sql: &str) -> Vec<String> {
        let table = binding("t", Grid::whole(Zone::UTC), None, None, Key::default());
        self.lines("UTC", vec![table], sql).await.unwrap()[1..].to_vec()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn added_rows_come_to_those_that_are_there() {
    let world = World::new();
    let first = take_in(Strategy::Append, "select 1 as id, 'a' as v");
    let made = world.fill(&first).await.unwrap();
    assert_eq!((made.version, made.written, made.intervals[0].rows), (Some(0), 1, 1));
    let more = take_in(Strategy::Append, "select 2 as id, 'b' as v union all select 1, 'a'");
    let added = world.fill(&more).await.unwrap();
    assert_eq!((added.version, added.written, added.intervals[0].rows), (Some(1), 2, 3));
    assert_eq!(
        world.table("select id, v from t order by 1").await,
        ["1,a", "1,a", "2,b"]
    );

    let nothing = take_in(Strategy::Append, "select 1 as id, 'a' as v where false");
    let unchanged = world.fill(&nothing).await.unwrap();
    assert_eq!(
        (unchanged.version, unchanged.written),
        (Some(1), 0),
        "no commit for nothing"
    );
    assert_eq!(unchanged.intervals, added.intervals);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_takes_the_place_of_the_one_with_its_key() {
    let world = World::new();
    let rows = "select * from (values (1, 'a', 10), (2, 'b', 20), (null, 'n', 30)) as r(id, v, n)";
    let before = world.fill(&take_in(merge(&["id"]), rows)).await.unwrap();
    let again = "select * from (values (2, 'c', 21), (3, 'd', 31), (null, 'm', 32)) as r(id, v, n)";
    let merged = world.fill(&take_in(merge(&["id"]), again)).await.unwrap();
    assert_eq!(merged.intervals[0].rows, 5);
    assert_eq!(
        world.table("select id, v, n from t order by n").await,
        ["1,a,10", "2,c,21", ",n,30", "3,d,31", ",m,32"],
        "NULL is the same as nothing"
    );
    // Back to what it was: the content says so, whatever way led there.
    world
        .fill(&take_in(
            delete_insert("v"),
            "select 2 as id, 'c' as v, 20 as n where false",
        ))
        .await
        .unwrap();
    let back = "select * from (values (2, 'b', 20)) as r(id, v, n)";
    let back = world.fill(&take_in(merge(&["id"]), back)).await.unwrap();
    assert_eq!(back.intervals[0].rows, 5);
    let whole = FillSpec {
        replaces_all: true,
        ..take_in(merge(&["id"]), rows)
    };
    let whole = world.fill(&whole).await.unwrap();
    assert_eq!(whole.intervals, before.intervals);
    assert!(whole.replaced_all);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_files_that_hold_such_a_row_are_written_again() {
    let world = World::new();
    for id in 1..=3 {
        let one = format!("select {id} as id, 'first' as v");
        world.fill(&take_in(merge(&["id"]), &one)).await.unwrap();
    }
    let files = || {
        let folder = std::fs::read_dir(world.folder("t")).unwrap();
        let names = folder.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names
            .filter(|name| name.starts_with("part-"))
            .collect::<std::collections::BTreeSet<_>>()
    };
    let before = files();
    world
        .fill(&take_in(merge(&["id"]), "select 2 as id, 'second' as v"))
        .await
        .unwrap();
    assert_eq!(
        files().len(),
        before.len() + 1,
        "one new file, none for what was beside it"
    );
    assert_eq!(
        world.table("select id, v from t order by 1").await,
        ["1,first", "2,second", "3,first"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn two_rows_of_one_key_are_a_fault_of_a_merge_alone() {
    let world = World::new();
    let twice = "select * from (values (7, 'a'), (8, 'b'), (7, 'c')) as r(id, v)";
    for _ in 0..2 {
        let fault = world.fill(&take_in(merge(&["id"]), twice)).await.unwrap_err();
        assert_eq!(fault.code, codes::DUPLICATE_KEY);
        assert!(fault.message.contains("(id): 7"), "{fault}");
        world
            .fill(&take_in(merge(&["id"]), "select 7 as id, 'x' as v"))
            .await
            .unwrap();
    }
    world.fill(&take_in(delete_insert("id"), twice)).await.unwrap();
    assert_eq!(
        world.table("select id, v from t order by 2").await,
        ["7,a", "8,b", "7,c"]
    );
    let fault = world.fill(&take_in(merge(&["idd"]), twice)).await.unwrap_err();
    assert_eq!(fault.code, codes::UNKNOWN_KEY_COLUMN);
    assert_eq!(fault.remedy.as_deref(), Some("write `id`"));
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_come_and_go_as_the_rule_says() {
    let world = World::new();
    world
        .fill(&take_in(Strategy::Append, "select 1 as id, 'a' as v"))
        .await
        .unwrap();
    let other = take_in(Strategy::Append, "select 2 as id, 20 as n");
    for rule in [SchemaChange::Ignore, SchemaChange::Fail] {
        let fault = world.fill(&with_rule(rule, other.clone())).await.unwrap_err();
        assert_eq!(fault.code, codes::COLUMNS_CHANGED, "{fault}");
        assert!(fault.message.contains("does not give `v`"), "{fault}");
    }
    let wider = take_in(Strategy::Append, "select 2 as id, 'b' as v, 20 as n");
    world.fill(&wider).await.unwrap();
    assert_eq!(
        world.table("select * from t order by 1").await,
        ["1,a", "2,b"],
        "left out"
    );
    assert!(world.fill(&with_rule(SchemaChange::Fail, wider)).await.is_err());

    let added = take_in(Strategy::Append, "select 3 as id, 30 as n");
    world
        .fill(&with_rule(SchemaChange::AppendNewColumns, added))
        .await
        .unwrap();
    assert_eq!(
        world.table("select * from t order by 1").await,
        ["1,a,", "2,b,", "3,,30"]
    );

    let synced = take_in(merge(&["id"]), "select 2 as id, 21 as n, true as late");
    world
        .fill(&with_rule(SchemaChange::SyncAllColumns, synced))
        .await
        .unwrap();
    assert_eq!(
        world.table("select * from t order by 1").await,
        ["1,,", "2,21,true", "3,30,"]
    );
    let columns = world
        .table("select column_name from information_schema.columns where table_name = 't'")
        .await;
    assert_eq!(columns, ["id", "n", "late"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_table_holds_is_counted_anew_where_others_wrote() {
    let world = World::new();
    let table = FillSpec {
        replaces_all: true,
        ..fill_table("t", "select 1 as id, 'a' as v", Vec::new())
    };
    world.fill(&table).await.unwrap();
    let added = world
        .fill(&take_in(Strategy::Append, "select 2 as id, 'b' as v"))
        .await
        .unwrap();
    let both = "select * from (values (1, 'a'), (2, 'b')) as r(id, v)";
    let whole = FillSpec {
        replaces_all: true,
        ..take_in(Strategy::Append, both)
    };
    let whole = world.fill(&whole).await.unwrap();
    assert_eq!(added.intervals, whole.intervals);
}

fn values(rows: &[(i64, i64)]) -> String {
    let listed: Vec<String> = rows.iter().map(|(id, n)| format!("({id}, {n})")).collect();
    format!("select * from (values {}) as r(id, n)", listed.join(", "))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Against a model in memory: after each fill the table holds what the model holds, and says so
    /// by the same content as a table that is made of those rows at once.
    #[test]
    fn any_history_of_merges_gives_what_it_should(
        fills in prop::collection::vec((0..3, prop::collection::btree_map(0_i64..12, 0_i64..4, 1..8)), 1..6),
    ) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let world = World::new();
            let mut model: BTreeMap<i64, i64> = BTreeMap::new();
            let mut last = None;
            for (kind, rows) in &fills {
                let strategy = if *kind == 0 { delete_insert("id") } else { merge(&["id"]) };
                let listed: Vec<(i64, i64)> = rows.iter().map(|(id, n)| (*id, *n)).collect();
                model.extend(rows);
                last = Some(world.fill(&take_in(strategy, &values(&listed))).await.unwrap());
                let expected: Vec<String> = model.iter().map(|(id, n)| format!("{id},{n}")).collect();
                assert_eq!(world.table("select id, n from t order by 1").await, expected);
            }
            let all: Vec<(i64, i64)> = model.into_iter().collect();
            let whole = FillSpec { replaces_all: true, ..take_in(merge(&["id"]), &values(&all)) };
            let whole = world.fill(&whole).await.unwrap();
            assert_eq!(last.unwrap().intervals, whole.intervals);
        });
    }
}
