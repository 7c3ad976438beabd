#[path="gallery/flow.rs"] mod flow;
#[path="gallery/run.rs"] mod run;
#[path="gallery/attempt.rs"] mod attempt;
use mulgil_web::{look::*, page, view::*, view::run::Tab};
fn main() {
    let out = std::path::PathBuf::from("/tmp/web2shots");
    let _ = std::fs::create_dir_all(out.join("assets"));
    for a in mulgil_web::asset::all() { std::fs::write(out.join("assets").join(&a.name), a.bytes).unwrap(); }
    for (lang, l) in [("ko", Language::Korean), ("en", Language::English)] { for (th, t) in [("light", Theme::Light), ("dark", Theme::Dark)] {
        let frame = |address: &str, topics: &[&str]| Frame { project: "shop".into(), environment: "prod".into(), look: Look { language: l, theme: t, zone: None },
            zone: mulgil_core::grid::Zone::named("Asia/Seoul").unwrap(), now: flow::NOW, address: address.into(), health: Verdict::Good, queries: 3, took: std::time::Duration::from_millis(8),
            topics: topics.iter().map(|s| s.to_string()).collect(), token: "t".into() };
        let mut all: Vec<(&str, String)> = vec![];
        let f = frame("/flows/daily_sales", &["flow:daily_sales"]);
        for (n, v) in [("flow", flow::daily()), ("flow-new", flow::new()), ("flow-evil", flow::hostile()), ("flow-big", flow::largest())] { all.push((n, page::flow(&f, &v))); }
        for (n, tab) in [("graph", Tab::Graph), ("gantt", Tab::Gantt), ("list", Tab::List), ("events", Tab::Events)] {
            for (k, v) in [("failed", run::failed(tab)), ("running", run::running(tab)), ("models", run::models(tab)), ("evil", run::hostile(tab))] {
                all.push((Box::leak(format!("run-{k}-{n}").into_boxed_str()), page::run(&frame("/runs/1022", &["run:1022"]), &v)));
            }
        }
        for (n, v) in [("failed", attempt::failed()), ("running", attempt::running()), ("retrying", attempt::retrying()), ("silent", attempt::silent(false)), ("mute", attempt::silent(true)), ("searched", attempt::searched()), ("evil", attempt::hostile())] {
            all.push((Box::leak(format!("attempt-{n}").into_boxed_str()), page::attempt(&frame("/runs/1022/tasks/1/attempts/1", &["run:1022"]), &v)));
        }
        for (n, html) in all { std::fs::write(out.join(format!("{n}-{lang}-{th}.html")), html).unwrap(); }
    } }
}
