//! Plans over real tables, whose rows are not those that DataFusion alone would give.

use mulgil_core::{
    grid::{Grid, Zone},
    name::Key,
    task::Binding,
};

use crate::tests::{World, binding, fill_table};

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
