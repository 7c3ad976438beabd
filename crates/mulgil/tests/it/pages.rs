//! The pages of a server: what they tell of a project in which not all is well, and what their forms do.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
};

use crate::{
    harness::Place,
    server::{Server, newest, until},
};

/// Seven days of orders: the file of day 3 is not there, that of day 5 is broken.
const WEEK: &str = "
=== mulgil.yml
name: shop
models: {shop: {+begin: 2026-03-01, +end: 2026-03-08}}
sources:
  raw:
    orders: {files: 'data/orders_{YYYYMMDD}.csv', event_time: at, columns: {at: timestamptz, amount: bigint}}
=== models/orders.sql
{{ config(interval='day', event_time='at') }}
select at, amount from {{ source('raw', 'orders') }}
=== models/orders.yml
models:
  - name: orders
    description: 주문 <b>한 줄에 하나</b>
    columns:
      - name: amount
        description: 금액
        data_tests: [not_null]
=== models/revenue.sql
{{ config(interval='day', event_time='day') }}
select cast(at as date) as day, sum(amount) as revenue from {{ ref('orders') }} group by 1
=== flows/daily.yml
interval: day
begin: 2026-03-01
end: 2026-03-08
params: {word: {type: string, allowed: [plain, again], default: plain}, days: {type: integer, required: true}}
steps:
  load: {command: 'echo {{ ds }} {{ params.word }} >> loaded.txt'}
=== flows/broken.yml
steps:
  fail: {command: 'echo nothing here >&2; exit 3'}
";

fn week() -> Place {
    let place = Place::of(WEEK);
    for day in [1, 2, 4, 6, 7] {
        place.write(
            &format!("data/orders_2026030{day}.csv"),
            &format!("at,amount\n2026-03-0{day}T10:00:00Z,{day}\n"),
        );
    }
    place.write("data/orders_20260305.csv", "at,amount\n2026-03-05T10:00:00Z\n");
    place
}

/// A browser that keeps its cookie.
struct Browser<'a> {
    server: &'a Server,
    cookie: String,
}

/// What it was answered.
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Browser<'_> {
    fn get(&mut self, path: &str) -> Answer {
        self.send(&format!("GET {path} HTTP/1.1\r\n"), "")
    }

    fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let fields: Vec<String> = fields
            .iter()
            .map(|(name, value)| format!("{name}={}", encoded(value)))
            .collect();
        let body = fields.join("&");
        let head = format!(
            "POST {path} HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\nOrigin: http://{}\r\n",
            body.len(),
            self.server.address()
        );
        self.send(&head, &body)
    }

    fn send(&mut self, head: &str, body: &str) -> Answer {
        let mut stream = TcpStream::connect(self.server.address()).unwrap();
        let host = self.server.address();
        let cookie = &self.cookie;
        write!(
            stream,
            "{head}Host: {host}\r\nAccept-Language: en\r\nSec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n{body}"
        )
        .unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        let all = String::from_utf8(all).unwrap();
        let (head, body) = all.split_once("\r\n\r\n").unwrap();
        let set = head.lines().find_map(|line| line.strip_prefix("set-cookie: "));
        if let Some(set) = set {
            self.cookie = set.split(';').next().unwrap().to_owned();
        }
        Answer {
            status: head[9..12].parse().unwrap(),
            head: head.to_owned(),
            body: body.to_owned(),
        }
    }

    /// A page that is there, and how many queries to the ledger it took: four at most.
    #[track_caller]
    fn page(&mut self, path: &str) -> String {
        let answer = self.get(path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        let told = answer
            .body
            .split("data-queries=\"")
            .nth(1)
            .and_then(|rest| rest.split('"').next());
        let queries: u32 = told
            .and_then(|told| told.parse().ok())
            .unwrap_or_else(|| panic!("{path}: no queries"));
        assert!(queries <= 4, "{path}: {queries} queries");
        answer.body
    }
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// The value of a hidden field.
fn hidden(page: &str, name: &str) -> String {
    let field = page
        .split("<input")
        .find(|field| field.contains(&format!("name=\"{name}\"")));
    let field = field.unwrap_or_else(|| panic!("no field `{name}` in {page}"));
    let value = field.split("value=\"").nth(1).unwrap_or_default();
    value.split('"').next().unwrap_or_default().to_owned()
}

#[test]
fn a_hole_a_failure_and_a_stale_day_are_on_the_first_page_with_what_helps() {
    let place = week();
    place.mulgil(&["run"]).ends_with(1).says("MG3104");
    fs::remove_file(place.path().join("data/orders_20260301.csv")).unwrap();
    let server = Server::start(&place);
    server.is_ready();
    let mut browser = Browser {
        server: &server,
        cookie: String::new(),
    };
    // The server looks at the sources, and finds that a file has gone.
    // Meanwhile it tries the day that failed once more, which is then not told as failed.
    let today = until("the page knows what is stale and what failed", || {
        let today = browser.page("/");
        let is_told = ["01", "05"]
            .iter()
            .all(|day| today.contains(&format!("/why/orders@2026-03-{day}")));
        is_told.then_some(today)
    });
    for part in [
        "/why/orders@2026-03-03",
        "/why/orders@2026-03-05",
        "MG3104",
        "mulgil logs 1 --attempt",
        "/attempts/1\"",
        "/tables/revenue",
    ] {
        assert!(today.contains(part), "no `{part}` in {today}");
    }

    let table = browser.page("/tables/orders");
    for part in [
        "/why/orders@2026-03-05",
        "/tables/revenue",
        "/tables/raw.orders",
        "금액",
        "not_null_orders_amount",
        "&lt;b&gt;",
    ] {
        assert!(table.contains(part), "no `{part}` in {table}");
    }
    assert!(!table.contains("<b>한"), "{table}");
    let sample = browser.page("/tables/orders?sample=1");
    assert!(sample.contains("2026-03-02"), "{sample}");
    assert!(browser.page("/tables/raw.orders?sample=1").contains("/tables/orders"));
    let found = browser.page(&format!("/tables?q={}", encoded("금액")));
    assert!(
        found.contains("/tables/orders") && !found.contains("/tables/revenue"),
        "{found}"
    );

    let failed = browser.page("/why/orders@2026-03-05");
    for part in [
        "MG3104",
        "mulgil run orders@2026-03-05",
        "/why/orders@2026-03-04",
        "/why/orders@2026-03-06",
    ] {
        assert!(failed.contains(part), "no `{part}` in {failed}");
    }
    let waits = browser.page("/why/revenue@2026-03-03");
    assert!(waits.contains("/why/orders@2026-03-03"), "{waits}");
    assert!(browser.page("/why/flow:daily@2026-03-02").contains("/flows/daily"));
    // The command line says the same.
    let told = place.mulgil(&["why", "revenue@2026-03-03"]).ends_with(0).stdout;
    assert!(
        told.contains("waits  reads orders@2026-03-03: not there (2026-03-03)"),
        "{told}"
    );
    assert!(told.contains("do: mulgil why orders@2026-03-03"), "{told}");
    let flow = place
        .mulgil(&["why", "flow:daily@2026-03-02", "--json"])
        .ends_with(0)
        .json();
    assert_eq!(flow["checks"][1]["check"]["check"], "wanted", "{flow}");

    assert_eq!(browser.get("/tables/order").status, 404);
    assert!(browser.get("/tables/order").body.contains("/tables/orders"));
    assert_eq!(browser.get("/why/orders@never").status, 400);
    assert_eq!(server.end(), Some(0));
}

#[test]
fn a_form_does_what_it_shows_and_nothing_else() {
    let place = week();
    place.mulgil(&["run"]).ends_with(1);
    let server = Server::start(&place);
    server.is_ready();
    let mut browser = Browser {
        server: &server,
        cookie: String::new(),
    };
    let form = browser.page("/tables/orders/backfill?from=2026-03-06&to=2026-03-08");
    assert!(
        form.contains("mulgil backfill orders --from 2026-03-06 --to 2026-03-08"),
        "{form}"
    );
    let (token, ranges) = (hidden(&form, "token"), hidden(&form, "ranges"));
    assert_eq!(ranges, "2026-03-06..2026-03-08");
    let fields = |from| {
        [
            ("from", from),
            ("to", "2026-03-08"),
            ("only", "all"),
            ("ranges", ranges.as_str()),
            ("token", token.as_str()),
        ]
    };
    // Not what was shown.
    let other = browser.post("/tables/orders/backfill", &fields("2026-03-02"));
    assert_eq!(other.status, 422, "{}", other.body);
    assert!(other.body.contains("MG0053"), "{}", other.body);
    assert!(
        hidden(&other.body, "ranges").starts_with("2026-03-02"),
        "{}",
        other.body
    );
    place.mulgil(&["backfill", "ls"]).ends_with(0).says("no backfill");
    // Not by this browser.
    let foreign = browser.post(
        "/tables/orders/backfill",
        &fields("2026-03-06").map(|(name, value)| (name, if name == "token" { "x" } else { value })),
    );
    assert_eq!(foreign.status, 422, "{}", foreign.body);
    let done = browser.post("/tables/orders/backfill", &fields("2026-03-06"));
    assert_eq!(done.status, 303, "{}", done.body);
    assert!(done.head.contains("location: /tables/orders"), "{}", done.head);
    let made = place.mulgil(&["backfill", "ls", "--json"]).ends_with(0).json();
    assert_eq!(
        (made[0]["intervals"].as_u64(), made.as_array().unwrap().len()),
        (Some(2), 1),
        "{made}"
    );

    // A flow, with a field that is wrong and then right.
    let form = browser.page("/flows/daily/run?interval=2026-03-02");
    let token = hidden(&form, "token");
    let fields = |days| {
        [
            ("interval", "2026-03-02"),
            ("param.word", "again"),
            ("param.days", days),
            ("sent", "1"),
            ("token", token.as_str()),
        ]
    };
    let wrong = browser.post("/flows/daily/run", &fields("two"));
    assert_eq!(wrong.status, 422, "{}", wrong.body);
    assert!(wrong.body.contains("two"), "{}", wrong.body);
    assert_eq!(newest(&place, "daily"), None);
    let run = browser.post("/flows/daily/run", &fields("2"));
    assert_eq!(run.status, 303, "{}", run.body);
    until("the flow has run", || {
        (newest(&place, "daily")?["state"] == "success").then_some(())
    });
    assert_eq!(crate::server::read(&place, "loaded.txt"), "2026-03-02 again\n");

    // A run that failed is on the first page with what helps, and cannot be cancelled any more.
    place.mulgil(&["run", "flow:broken"]).ends_with(1);
    let broken = newest(&place, "broken").unwrap()["run"].as_i64().unwrap();
    let today = until("the page knows what failed", || {
        let today = browser.page("/");
        today.contains(&format!("mulgil runs retry {broken}")).then_some(today)
    });
    assert!(today.contains("/flows/broken"), "{today}");
    let cancel = browser.page(&format!("/runs/{broken}/cancel"));
    assert!(cancel.contains("MG5"), "{cancel}");
    assert_eq!(server.end(), Some(0));
}
