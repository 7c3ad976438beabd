//! Plans over real tables, whose rows are not those that DataFusion alone would give.

use mulgil_core::{
    codes,
    diagnostic::Diagnostic,
    grid::{Grid, Zone},
    name::Key,
    task::Binding,
};

use crate::{
    EmbeddedEngine,
    tests::{World, binding, config, fill_table},
};

/// A world with tables, each made by its SQL.
async fn tables(tables: &[(&str, &str)]) -> (World, Vec<Binding>) {
    let world = World::new();
    for (name, sql) in tables {
        world.fill(&fill_table(name, sql, Vec::new())).await.unwrap();
    }
    let whole = |name: &str| binding(name, Grid::whole(Zone::UTC), None, None, Key::default());
    let bindings = tables.iter().map(|(name, _)| whole(name)).collect();
    (world, bindings)
}

/// A table with keys from 1 on, and one of two rows, only one of whose keys is among them.
async fn big_and_small() -> (World, Vec<Binding>) {
    tables(&[
        (
            "big",
            "select k, 'b' || k as b, k % 7 as n from (select unnest(range(1, 50001)) as k)",
        ),
        (
            "small",
            "select * from (values (2, 's2', 9), (60000, 's6', 8)) t(k, s, n)",
        ),
    ])
    .await
}

async fn rows(world: &World, bindings: &[Binding], sql: &str) -> Vec<String> {
    let lines = world.lines("UTC", bindings.to_vec(), sql).await;
    let lines = lines.unwrap_or_else(|fault| panic!("{sql}: {fault}"));
    lines[1..].to_vec()
}

async fn fault(world: &World, bindings: &[Binding], sql: &str) -> Diagnostic {
    match world.lines("UTC", bindings.to_vec(), sql).await {
        Ok(lines) => panic!("{sql}: {lines:?}"),
        Err(fault) => *fault,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_above_a_join_asks_the_side_that_it_names() {
    let (world, bindings) = big_and_small().await;
    for (sql, expected) in [
        (
            "select s.s from big l right join small s on l.k = s.k where l.k is null",
            vec!["s6"],
        ),
        (
            "select s.s from big l full join small s on l.k = s.k where l.k is null",
            vec!["s6"],
        ),
        (
            "select s.s from big l right join small s on l.k = s.k and l.k < 2 where l.n is null order by 1",
            vec!["s2", "s6"],
        ),
        (
            "select l.k, s.k from big l full join small s on l.k = s.k order by s.k, l.k limit 3",
            vec!["2,2", ",60000", "1,"],
        ),
        (
            "select s.n, l.n from big l right join small s on l.k = s.k order by l.n desc nulls last limit 1",
            vec!["9,2"],
        ),
    ] {
        assert_eq!(rows(&world, &bindings, sql).await, expected, "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whole_numbers_do_not_wrap_round() {
    let (world, bindings) = tables(&[(
        "edge",
        "select * from (values (9223372036854775807, cast(2147483647 as int), cast(32767 as smallint)), \
         (-9223372036854775807 - 1, cast(-2147483648 as int), cast(-32768 as smallint))) t(b, i, s)",
    )])
    .await;
    for sql in [
        "select 9223372036854775807 + 1",
        "select x + 1 from (select 9223372036854775807 as x)",
        "select -x from (select -9223372036854775807 - 1 as x)",
        "select 9223372036854775807 * 2",
        "select -9223372036854775807 - 2",
        "select b + 1 from edge where b > 0",
        "select b - 1 from edge where b < 0",
        "select b * 2 from edge",
        "select -b from edge",
        "select i + i from edge",
        "select s * s from edge",
        "select -s from edge",
        "select sum(b) from (select b from edge where b > 0 union all select b from edge where b > 0)",
        "select sum(distinct b - n) from edge, (values (0), (1)) t(n) where b > 0",
        "select n, sum(b) from edge, (values (0), (1)) t(n) where b > 0 group by n % 1, n having sum(b + n) > 0",
        "select sum(b) over (order by n) from edge, (values (0), (1)) t(n) where b > 0",
        "select b from edge where b + 1 > 0",
    ] {
        let fault = fault(&world, &bindings, sql).await;
        assert_eq!(fault.code, codes::BAD_QUERY, "{sql}: {fault}");
        assert!(
            fault.message.contains("verflow") || fault.message.contains("out of the range"),
            "{sql}: {fault}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn arithmetic_that_stays_in_range_is_as_it_was() {
    let (world, bindings) = big_and_small().await;
    for (sql, expected) in [
        ("select 1 + 2 * 3 - 4, -(5), 7 - 10", "3,-5,-3"),
        (
            "select 9223372036854775806 + 1, -9223372036854775807 - 1",
            "9223372036854775807,-9223372036854775808",
        ),
        ("select null + 1, 1 - null", ","),
        (
            "select sum(k), sum(k + 1), sum(-k) from big",
            "1250025000,1250075000,-1250025000",
        ),
        ("select sum(k) from big where k < 0", ""),
        ("select sum(distinct n) from big", "21"),
        (
            "select sum(b) from (values (9223372036854775807), (9223372036854775807), (-9223372036854775807)) t(b)",
            "9223372036854775807",
        ),
        ("select n, sum(k) from big group by n order by n limit 1", "0,178553571"),
        (
            "select k + 1 as m, count(*) from big where k + 1 = 3 group by k + 1",
            "3,1",
        ),
        ("select count(*) from big l join small s on l.k + 59998 = s.k", "1"),
        (
            "select row_number() over (order by k) - row_number() over (order by k desc) from big order by 1 limit 1",
            "-49999",
        ),
        (
            "select sum(k) over (order by k rows between 1 preceding and current row) as w from big order by w desc limit 1",
            "99999",
        ),
        ("select max(a.d - 5) from (select k - 1 as d from big) a", "49994"),
        (
            "select arrow_typeof(1::smallint + 1::smallint), arrow_typeof(1::int + 1), arrow_typeof(array_length([1]) + 1)",
            "Int16,Int64,Int64",
        ),
    ] {
        assert_eq!(rows(&world, &bindings, sql).await, [expected], "{sql}");
    }
    let names = world
        .lines(
            "UTC",
            bindings,
            "select k + 1, sum(k * 2) from big group by k + 1 limit 0",
        )
        .await;
    assert_eq!(names.unwrap(), ["k + 1,sum(k * 2)"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_filled_with_null_is_no_constant() {
    let (world, bindings) = big_and_small().await;
    let flagged = "from small s left join (select k, 'yes' as has from big where k < 5) b on b.k = s.k";
    for (sql, expected) in [
        (format!("select s.s, has {flagged} order by has nulls first"), vec!["s6,", "s2,yes"]),
        (format!("select s.s, has {flagged} order by has"), vec!["s2,yes", "s6,"]),
        (
            format!("select s.s, rank() over (order by has nulls first, s.k desc) {flagged} order by 1"),
            vec!["s2,2", "s6,1"],
        ),
        (
            "select count(*), max(r) from (select has, rank() over (order by has, k) as r from (select b.k, has from big b \
             left join (select k, 'yes' as has from small) s on b.k = s.k)) where has is null"
                .to_owned(),
            vec!["49999,50000"],
        ),
        (
            "with e as (select 1 as a), f as (select 2 as a) \
             select e.a, f.a from e full join f on e.a = f.a order by 1 nulls last"
                .to_owned(),
            vec!["1,", ",2"],
        ),
        (
            "with c as (select 1 as id union all select 2), o as (select 10 as id, 1 as cid union all select 12, 2 \
             union all select 13, 9) select o.id, c.id from o left join c on c.id = o.cid order by o.id"
                .to_owned(),
            vec!["10,1", "12,2", "13,"],
        ),
        (
            "with c as (select 1 as id, 'Kim' as name union all select 2, 'Lee'), \
             o as (select 10 as id, 1 as cid union all select 11, 1 union all select 12, 2) \
             select c.name, o.id from c join o on c.id = o.cid order by o.id"
                .to_owned(),
            vec!["Kim,10", "Kim,11", "Lee,12"],
        ),
    ] {
        assert_eq!(rows(&world, &bindings, &sql).await, expected, "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_is_compared_with_those_of_the_inner_query() {
    let (world, bindings) = tables(&[
        (
            "paid",
            "select * from (values (1, 5000), (2, 4200), (3, 3900), (4, null)) t(id, pay)",
        ),
        ("nobody", "select 1 as id, 2 as pay where false"),
    ])
    .await;
    for (sql, expected) in [
        (
            "select id from paid where pay > all (select pay from paid where id = 3) order by id",
            vec!["1", "2"],
        ),
        (
            "select id from paid where pay >= any (select pay from paid where id < 3) order by id",
            vec!["1", "2"],
        ),
        (
            "select id from paid where pay >= all (select pay from paid where pay is not null)",
            vec!["1"],
        ),
        ("select id from paid where pay > all (select pay from paid)", vec![]),
        (
            "select id from paid where pay > all (select pay from nobody) order by id",
            vec!["1", "2", "3", "4"],
        ),
        ("select id from paid where pay > any (select pay from nobody)", vec![]),
        (
            "select id from paid p where pay > all (select pay from paid q where q.id > p.id and q.pay is not null) order by id",
            vec!["1", "2", "3", "4"],
        ),
        (
            "with e as (select 1 as id, 5000 as pay union all select 2, 4200 union all select 3, 3900 \
             union all select 4, null) select id from e where pay > all (select pay from e where id = 3) order by id",
            vec!["1", "2"],
        ),
    ] {
        assert_eq!(rows(&world, &bindings, sql).await, expected, "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_planner_knows_the_bounds_of_joined_columns() {
    let (world, bindings) = big_and_small().await;
    let plan = |sql: &'static str| {
        let (world, bindings) = (&world, &bindings);
        async move {
            let lines = rows(world, bindings, &format!("explain verbose {sql}")).await;
            let with_statistics = lines
                .iter()
                .skip_while(|line| !line.starts_with("physical_plan_with_stats"));
            with_statistics
                .take_while(|line| !line.is_empty())
                .cloned()
                .collect::<Vec<_>>()
                .join("\n")
        }
    };
    let text = plan("select n, b from big").await;
    assert!(
        text.contains("Min=Inexact(Int64(0)) Max=Inexact(Int64(6)) Null=Inexact(0)"),
        "{text}"
    );
    // Seven values of `n` in 50,000 rows, and two rows to meet them: a seventh of all pairs.
    let text = plan("select a.k, b.s from big a join small b on a.n = b.k").await;
    let join = text
        .lines()
        .find(|line| line.contains("HashJoinExec"))
        .unwrap_or_default();
    assert!(join.contains("Rows=Inexact(14285)"), "{text}");
    assert_eq!(
        rows(&world, &bindings, "select count(*), min(n), max(n), count(n) from big").await,
        ["50000,0,6,50000"]
    );
}

/// A world whose queries have that much memory, over the tables of another.
fn with_memory(world: World, memory_bytes: u64) -> World {
    let dir = world.into_dir();
    let mut limits = config(&dir);
    limits.memory_bytes = memory_bytes;
    let engine = EmbeddedEngine::new(limits).unwrap();
    World::of(dir, engine)
}

/// A table of 18 MB.
async fn wide() -> (World, Vec<Binding>) {
    let sql = "select x, repeat('a', 290) || x as pad from (select unnest(range(0, 60000)) as x)";
    tables(&[("wide", sql)]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_join_that_does_not_fit_is_made_of_sorted_sides() {
    let (world, bindings) = wide().await;
    let world = with_memory(world, 16 << 20);
    let join = "select count(*) as n from wide a join wide b on a.x = b.x and a.pad <= b.pad";
    assert_eq!(rows(&world, &bindings, join).await, ["60000"]);
    let absent = "select count(*) from wide a left join wide b on a.x = b.x + 30000 and a.pad <> b.pad \
                  where b.x is null";
    assert_eq!(rows(&world, &bindings, absent).await, ["30000"]);
    let filled = world.fill(&fill_table("joined", join, bindings)).await.unwrap();
    assert_eq!(filled.written, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_at_all_names_the_limits() {
    let world = with_memory(World::new(), 12 << 20);
    let one_list = "select cardinality(array_agg(pad || x)) from \
                    (select unnest(range(0, 100000)) as x, repeat('a', 300) as pad)";
    let fault = fault(&world, &[], one_list).await;
    assert_eq!(fault.code, codes::OUT_OF_MEMORY, "{fault}");
    let remedy = fault.remedy.unwrap_or_default();
    assert!(
        remedy.contains("`memory` in mulgil.yml, which is 12MB") && remedy.contains("`spill` is 1GB"),
        "{remedy}"
    );
}
