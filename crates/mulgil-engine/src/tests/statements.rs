//! Statements that change rows, beside a model in memory: random tables, random conditions with NULLs
//! and sub-queries, and the same meaning of each written down in Rust. And what two writers see.

use proptest::prelude::*;

use super::*;

/// A row of `t` and of `s`: a key, a group, a number; any may be NULL.
type Row = (Option<i64>, Option<u8>, Option<i64>);

/// A condition on a row of `t`, with three truth values.
#[derive(Clone, Debug)]
enum Condition {
    /// `k < 3`, and so on.
    Compare(Column, Comparison, i64),
    /// `n is null`.
    IsNull(Column),
    And(Box<Condition>, Box<Condition>),
    Or(Box<Condition>, Box<Condition>),
    Not(Box<Condition>),
    /// `k in (select k from s where n > 3)`, or not.
    In {
        is_negated: bool,
        above: Option<i64>,
    },
    /// `exists (select 1 from s where s.k = t.k)`, or not.
    Exists {
        is_negated: bool,
    },
    /// `n = (select max(n) from s)`.
    IsGreatest,
}

#[derive(Clone, Copy, Debug)]
enum Column {
    Key,
    Number,
}

#[derive(Clone, Copy, Debug)]
enum Comparison {
    Equal,
    Less,
    NotEqual,
}

#[derive(Clone, Debug)]
enum Statement {
    Insert(Vec<Row>),
    InsertSelect(Condition),
    Delete(Condition),
    /// `set n = n + 1` where it holds.
    Update(Condition),
    /// Each key of `s` once: matched rows get its number where it has one and go where it has not; the
    /// others come.
    Merge,
    Truncate,
}

impl Column {
    fn name(self) -> &'static str {
        match self {
            Self::Key => "t.k",
            Self::Number => "t.n",
        }
    }

    fn of(self, row: &Row) -> Option<i64> {
        match self {
            Self::Key => row.0,
            Self::Number => row.2,
        }
    }
}

impl Condition {
    fn sql(&self) -> String {
        match self {
            Self::Compare(column, comparison, value) => {
                let sign = match comparison {
                    Comparison::Equal => "=",
                    Comparison::Less => "<",
                    Comparison::NotEqual => "<>",
                };
                format!("{} {sign} {value}", column.name())
            }
            Self::IsNull(column) => format!("{} is null", column.name()),
            Self::And(left, right) => format!("({} and {})", left.sql(), right.sql()),
            Self::Or(left, right) => format!("({} or {})", left.sql(), right.sql()),
            Self::Not(inner) => format!("not ({})", inner.sql()),
            Self::In { is_negated, above } => format!(
                "t.k {}in (select s.k from s{})",
                if *is_negated { "not " } else { "" },
                above.map_or(String::new(), |above| format!(" where s.n > {above}"))
            ),
            Self::Exists { is_negated } => format!(
                "{}exists (select 1 from s where s.k = t.k)",
                if *is_negated { "not " } else { "" }
            ),
            Self::IsGreatest => "t.n = (select max(s.n) from s)".to_owned(),
        }
    }

    fn holds(&self, row: &Row, source: &[Row]) -> Option<bool> {
        match self {
            Self::Compare(column, comparison, value) => column.of(row).map(|known| match comparison {
                Comparison::Equal => known == *value,
                Comparison::Less => known < *value,
                Comparison::NotEqual => known != *value,
            }),
            Self::IsNull(column) => Some(column.of(row).is_none()),
            Self::And(left, right) => match (left.holds(row, source), right.holds(row, source)) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                _ => None,
            },
            Self::Or(left, right) => match (left.holds(row, source), right.holds(row, source)) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            },
            Self::Not(inner) => inner.holds(row, source).map(|holds| !holds),
            Self::In { is_negated, above } => {
                let listed = source.iter().filter(|other| match above {
                    Some(above) => other.2.is_some_and(|number| number > *above),
                    None => true,
                });
                let keys: Vec<Option<i64>> = listed.map(|other| other.0).collect();
                let is_in = match row.0 {
                    _ if keys.is_empty() => Some(false),
                    None => None,
                    Some(key) if keys.contains(&Some(key)) => Some(true),
                    Some(_) if keys.contains(&None) => None,
                    Some(_) => Some(false),
                };
                is_in.map(|is_in| is_in != *is_negated)
            }
            Self::Exists { is_negated } => {
                let exists = row.0.is_some() && source.iter().any(|other| other.0 == row.0);
                Some(exists != *is_negated)
            }
            Self::IsGreatest => {
                let greatest = source.iter().filter_map(|other| other.2).max();
                row.2.zip(greatest).map(|(number, greatest)| number == greatest)
            }
        }
    }
}

impl Statement {
    fn sql(&self, table: &str) -> String {
        let sql = match self {
            Self::Insert(rows) => format!("insert into t values {}", values(rows)),
            Self::InsertSelect(condition) => format!("insert into t select * from t where {}", condition.sql()),
            Self::Delete(condition) => format!("delete from t where {}", condition.sql()),
            Self::Update(condition) => format!("update t set n = n + 1 where {}", condition.sql()),
            Self::Merge => "merge into t using (select k, min(n) as n from s where k is not null group by k) as u \
                            on t.k = u.k when matched and u.n is null then delete \
                            when matched then update set n = u.n \
                            when not matched then insert (k, n) values (u.k, u.n)"
                .to_owned(),
            Self::Truncate => "truncate t".to_owned(),
        };
        // Each case has tables of its own.
        let own = |sql: &str, name: &str| {
            sql.replace(&format!(" {name} "), &format!(" {name}{table} as {name} "))
                .replace(&format!(" {name})"), &format!(" {name}{table} as {name})"))
        };
        match self {
            Self::Insert(_) | Self::Truncate => sql.replacen(" t", &format!(" t{table}"), 1),
            Self::InsertSelect(_) => {
                let (head, tail) = sql.split_once(" select ").unwrap();
                format!(
                    "{} select {}",
                    head.replacen(" t", &format!(" t{table}"), 1),
                    own(&own(tail, "t"), "s")
                )
            }
            Self::Delete(_) | Self::Update(_) | Self::Merge => own(&own(&sql, "t"), "s"),
        }
    }

    fn apply(&self, rows: &mut Vec<Row>, source: &[Row]) {
        let holds = |condition: &Condition, row: &Row| condition.holds(row, source) == Some(true);
        match self {
            Self::Insert(new) => rows.extend(new.iter().copied()),
            Self::InsertSelect(condition) => {
                let more: Vec<Row> = rows.iter().filter(|row| holds(condition, row)).copied().collect();
                rows.extend(more);
            }
            Self::Delete(condition) => rows.retain(|row| !holds(condition, row)),
            Self::Update(condition) => rows
                .iter_mut()
                .filter(|row| holds(condition, row))
                .for_each(|row| row.2 = row.2.map(|number| number + 1)),
            Self::Merge => merge(rows, source),
            Self::Truncate => rows.clear(),
        }
    }
}

fn merge(rows: &mut Vec<Row>, source: &[Row]) {
    let mut least: std::collections::BTreeMap<i64, Option<i64>> = std::collections::BTreeMap::new();
    for (key, _, number) in source {
        if let Some(key) = key {
            let known = least.entry(*key).or_default();
            *known = match (*known, *number) {
                (Some(known), Some(number)) => Some(known.min(number)),
                (known, number) => known.or(number),
            };
        }
    }
    let there: Vec<Option<i64>> = rows.iter().map(|row| row.0).collect();
    rows.retain(|row| row.0.and_then(|key| least.get(&key)) != Some(&None));
    for row in rows.iter_mut() {
        if let Some(number) = row.0.and_then(|key| least.get(&key)) {
            row.2 = *number;
        }
    }
    let new = least.iter().filter(|(key, _)| !there.contains(&Some(**key)));
    rows.extend(new.map(|(key, number)| (Some(*key), None, *number)));
}

fn values(rows: &[Row]) -> String {
    let shown = |value: Option<i64>| value.map_or("null".to_owned(), |value| value.to_string());
    let group = |value: Option<u8>| value.map_or("null".to_owned(), |value| format!("'g{value}'"));
    let rows: Vec<String> = rows
        .iter()
        .map(|row| format!("({}, {}, {})", shown(row.0), group(row.1), shown(row.2)))
        .collect();
    rows.join(", ")
}

fn row() -> impl Strategy<Value = Row> {
    let number = || prop::option::weighted(0.8, 0_i64..6);
    (number(), prop::option::weighted(0.8, 0_u8..3), number())
}

fn condition() -> impl Strategy<Value = Condition> {
    let column = prop_oneof![Just(Column::Key), Just(Column::Number)];
    let comparison = prop_oneof![
        Just(Comparison::Equal),
        Just(Comparison::Less),
        Just(Comparison::NotEqual)
    ];
    let leaf = prop_oneof![
        (column.clone(), comparison, 0_i64..6)
            .prop_map(|(column, sign, value)| Condition::Compare(column, sign, value)),
        column.prop_map(Condition::IsNull),
        (any::<bool>(), prop::option::of(0_i64..6)).prop_map(|(is_negated, above)| Condition::In { is_negated, above }),
        any::<bool>().prop_map(|is_negated| Condition::Exists { is_negated }),
        Just(Condition::IsGreatest),
    ];
    leaf.prop_recursive(2, 6, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| Condition::And(Box::new(a), Box::new(b))),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| Condition::Or(Box::new(a), Box::new(b))),
            inner.prop_map(|inner| Condition::Not(Box::new(inner))),
        ]
    })
}

fn statement() -> impl Strategy<Value = Statement> {
    prop_oneof![
        3 => prop::collection::vec(row(), 1..6).prop_map(Statement::Insert),
        1 => condition().prop_map(Statement::InsertSelect),
        4 => condition().prop_map(Statement::Delete),
        4 => condition().prop_map(Statement::Update),
        2 => Just(Statement::Merge),
        1 => Just(Statement::Truncate),
    ]
}

/// What a table holds, in an order that says nothing.
async fn held(world: &World, table: &str) -> Result<Vec<String>, Fault> {
    let sql = format!("select k, g, n from {table}");
    let mut lines = world.lines("UTC", Vec::new(), &sql).await?;
    lines.remove(0);
    lines.sort();
    Ok(lines)
}

fn expected(rows: &[Row]) -> Vec<String> {
    let shown = |value: Option<i64>| value.map_or(String::new(), |value| value.to_string());
    let group = |value: Option<u8>| value.map_or(String::new(), |value| format!("g{value}"));
    let mut lines: Vec<String> = rows
        .iter()
        .map(|row| format!("{},{},{}", shown(row.0), group(row.1), shown(row.2)))
        .collect();
    lines.sort();
    lines
}

/// Runs statements one after another and compares the table after each.
async fn play(
    world: &World,
    case: &str,
    start: &[Row],
    source: &[Row],
    is_partitioned: bool,
    statements: &[Statement],
) -> Result<(), TestCaseError> {
    let run = async |sql: &str| {
        let mut session = world.session("UTC", Vec::new());
        let ended = session.run(sql, Format::Csv, LIMITS, &mut Bytes::default()).await;
        ended.map_err(|fault| TestCaseError::fail(format!("{sql}\n{fault}")))
    };
    let by = if is_partitioned { " partition by (g)" } else { "" };
    run(&format!("create table t{case} (k bigint, g varchar, n bigint){by}")).await?;
    run(&format!("create table s{case} (k bigint, g varchar, n bigint)")).await?;
    for (table, rows) in [("t", start), ("s", source)] {
        // Two files each.
        for half in rows.chunks(rows.len().div_ceil(2).max(1)) {
            run(&format!("insert into {table}{case} values {}", values(half))).await?;
        }
    }
    let mut rows = start.to_vec();
    for statement in statements {
        let sql = statement.sql(case);
        run(&sql).await?;
        statement.apply(&mut rows, source);
        let held = held(world, &format!("t{case}")).await;
        let held = held.map_err(|fault| TestCaseError::fail(fault.to_string()))?;
        prop_assert_eq!(held, expected(&rows), "after {}", sql);
    }
    run(&format!("drop table t{case}")).await?;
    run(&format!("drop table s{case}")).await?;
    Ok(())
}

/// Statements of a case.
const STATEMENTS: usize = 5;

#[test]
fn statements_change_what_their_words_mean() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let world = World::new();
    let number = std::cell::Cell::new(0_u32);
    // `PROPTEST_CASES=2000` makes it as many.
    let config = ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    proptest!(config, |(
        start in prop::collection::vec(row(), 0..8),
        source in prop::collection::vec(row(), 0..6),
        is_partitioned in any::<bool>(),
        statements in prop::collection::vec(statement(), 1..=STATEMENTS),
    )| {
        number.set(number.get() + 1);
        let case = number.get().to_string();
        runtime.block_on(play(&world, &case, &start, &source, is_partitioned, &statements))?;
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn two_writers_of_one_table_lose_nothing() {
    let world = std::sync::Arc::new(World::new());
    let run = async |sql: &str| {
        let mut session = world.session("UTC", Vec::new());
        session
            .run(sql, Format::Csv, LIMITS, &mut Bytes::default())
            .await
            .unwrap()
    };
    run("create table t (writer int, n int)").await;
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..2 {
        let world = std::sync::Arc::clone(&world);
        writers.spawn(async move {
            let (mut written, mut refused) = (0, 0);
            for n in 0..20 {
                let mut session = world.session("UTC", Vec::new());
                let sql = format!("insert into t values ({writer}, {n})");
                match session.run(&sql, Format::Csv, LIMITS, &mut Bytes::default()).await {
                    Ok(_) => written += 1,
                    Err(fault) => {
                        assert_eq!(fault.code, mulgil_core::codes::TABLE_CHANGED);
                        refused += 1;
                    }
                }
            }
            (written, refused)
        });
    }
    let outcomes = writers.join_all().await;
    let written: u32 = outcomes.iter().map(|(written, _)| written).sum();
    assert!(written > 20, "{outcomes:?}");
    let counted = world
        .lines(
            "UTC",
            Vec::new(),
            "select count(*), count(distinct writer * 100 + n) from t",
        )
        .await;
    assert_eq!(counted.unwrap()[1], format!("{written},{written}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_sees_one_version_or_the_next_while_a_table_is_replaced() {
    let world = std::sync::Arc::new(World::new());
    let run = async |sql: &str| {
        let mut session = world.session("UTC", Vec::new());
        session
            .run(sql, Format::Csv, LIMITS, &mut Bytes::default())
            .await
            .unwrap()
    };
    run("create table t as select 0 as version, x from generate_series(1, 50) as g(x)").await;
    let done = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let replacing = {
        let (world, done) = (std::sync::Arc::clone(&world), std::sync::Arc::clone(&done));
        tokio::spawn(async move {
            let mut version = 0;
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                version += 1;
                let mut session = world.session("UTC", Vec::new());
                let sql = format!(
                    "create or replace table t as select {version} as version, x from generate_series(1, 50) as g(x)"
                );
                session
                    .run(&sql, Format::Csv, LIMITS, &mut Bytes::default())
                    .await
                    .unwrap();
            }
            version
        })
    };
    let reads = match std::env::var_os("MULGIL_LONG_TESTS") {
        Some(_) => 1_000,
        None => 200,
    };
    for _ in 0..reads {
        let seen = world
            .lines("UTC", Vec::new(), "select count(*), min(version) = max(version) from t")
            .await
            .unwrap();
        assert_eq!(seen[1], "50,true");
    }
    done.store(true, std::sync::atomic::Ordering::Relaxed);
    assert!(replacing.await.unwrap() > 3, "hardly anything was replaced");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_small_files_become_few_and_old_ones_go() {
    let world = World::new();
    let run = async |sql: &str| {
        let mut session = world.session("UTC", Vec::new());
        session
            .run(sql, Format::Csv, LIMITS, &mut Bytes::default())
            .await
            .unwrap()
    };
    run("create table t (n int)").await;
    for n in 0..20 {
        run(&format!("insert into t values ({n})")).await;
    }
    let relation = Relation {
        schema: "shop".to_owned(),
        name: "t".to_owned(),
    };
    let now = Instant::from_timestamp(jiff::Timestamp::from_second(1).unwrap());
    let done = world.engine.maintain(&relation, now).await.unwrap();
    assert_eq!((done.small_files, done.large_files, done.removed_files), (20, 1, 0));
    let again = world.engine.maintain(&relation, now).await.unwrap();
    assert_eq!(again, mulgil_core::port::Maintained::default());
    assert_eq!(held_numbers(&world, "t").await, "20,190");
    // What came before can be read until it is vacuumed.
    assert_eq!(held_numbers(&world, "t for version as of 10").await, "10,45");
    run("vacuum t retain 0 hours").await;
    assert_eq!(held_numbers(&world, "t").await, "20,190");
}

async fn held_numbers(world: &World, table: &str) -> String {
    let sql = format!("select count(*), sum(n) from {table}");
    world.lines("UTC", Vec::new(), &sql).await.unwrap().remove(1)
}
