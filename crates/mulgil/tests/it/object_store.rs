//! The warehouse and its sources in a bucket: the same answers as in a folder, whatever dies or gets in
//! between. The store is moto, which heeds conditional puts.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    process::Stdio,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
};

use crate::{
    bucket::{SECRET, Store, command},
    harness::{Done, Place},
};

/// How many of the writes are killed at, spread over all.
const STRIDES: u64 = 7;

/// What is heard instead of an answer that was lost.
const LOST: &str = "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// How a request goes on: its head, and what its client hears.
enum Passage {
    /// The store's answer.
    Answered(String),
    /// That the store failed, whatever it did.
    AnswerLost(String),
}

/// What becomes of the head of a request on its way.
type OnTheWay = Arc<dyn Fn(String) -> Passage + Send + Sync>;

/// A proxy before the store that may change or hold up the heads of requests. One request for each
/// connection, so that every head is seen.
fn proxy(to: u16, on_the_way: OnTheWay) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for client in listener.incoming() {
            let on_the_way = Arc::clone(&on_the_way);
            let client = client.unwrap();
            thread::spawn(move || pass_on(client, to, &on_the_way));
        }
    });
    port
}

fn pass_on(client: TcpStream, to: u16, on_the_way: &OnTheWay) {
    let mut from_client = BufReader::new(client.try_clone().unwrap());
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        // The client may end its connection before it asks for anything.
        if from_client.read_line(&mut head).unwrap_or(0) == 0 {
            return;
        }
    }
    let (head, is_lost) = match on_the_way(head.replacen("\r\n", "\r\nConnection: close\r\n", 1)) {
        Passage::Answered(head) => (head, false),
        Passage::AnswerLost(head) => (head, true),
    };
    let mut server = TcpStream::connect(("127.0.0.1", to)).unwrap();
    server.write_all(head.as_bytes()).unwrap();
    let mut to_server = server.try_clone().unwrap();
    thread::spawn(move || {
        let _ = std::io::copy(&mut from_client, &mut to_server);
    });
    let mut to_client = client;
    if is_lost {
        server.read_to_end(&mut Vec::new()).unwrap();
        let _ = to_client.write_all(LOST.as_bytes());
    } else {
        let _ = std::io::copy(&mut server, &mut to_client);
    }
    let _ = to_client.shutdown(Shutdown::Both);
}

/// A project over four days of events, all of it in the bucket.
fn project(port: u16) -> Place {
    Place::of(&format!(
        "\
=== mulgil.yml
name: shop
warehouse: {{kind: s3, url: 's3://lake/wh', endpoint: 'http://127.0.0.1:{port}', allow_http: true}}
sources:
  raw:
    events: {{files: 's3://lake/in/events_{{YYYYMMDD}}.csv', event_time: at}}
=== models/daily.sql
{{{{ config(interval='day', event_time='at', begin='2026-01-01', end='2026-01-05') }}}}
select at, id, amount from {{{{ source('raw', 'events') }}}}
=== models/total.sql
{{{{ config(materialized='table') }}}}
select count(*) as n, sum(amount) as amount from {{{{ ref('daily') }}}}
"
    ))
}

fn mulgil(place: &Place, words: &[&str]) -> crate::harness::Done {
    Done::of(command(place, words).output().unwrap())
}

fn total(place: &Place) -> String {
    let done = mulgil(place, &["query", "select n, amount from total", "-o", "csv"]).ends_with(0);
    done.stdout.lines().nth(1).unwrap().to_owned()
}

#[track_caller]
fn assert_nothing_is_due(place: &Place, when: &str) {
    mulgil(place, &["plan", "--json"]).ends_with(0).is_empty_plan(when);
}

/// Puts the rows of one day of events, whose amounts are `amount` and twice of it.
fn put_day(store: &Store, day: u32, amount: u32) {
    let body = format!(
        "at,id,amount\n2026-01-0{day}T01:00:00Z,{day},{amount}\n2026-01-0{day}T02:00:00Z,1{day},{}\n",
        amount * 2
    );
    store.put(&format!("in/events_2026010{day}.csv"), &body);
}

fn store_with_four_days() -> Store {
    let store = Store::start();
    for day in 1..=4 {
        put_day(&store, day, day);
    }
    store
}

#[test]
fn a_project_in_a_bucket_is_filled_and_a_changed_file_is_due_alone_with_python() {
    let store = store_with_four_days();
    let place = project(store.port);
    mulgil(&place, &["run"]).ends_with(0).says("filled daily");
    assert_eq!(total(&place), "8,30");
    assert_nothing_is_due(&place, "after the run");
    assert!(!place.path().join("warehouse").exists(), "nothing lies in the folder");
    assert_eq!(store.names("wh/.mulgil"), Vec::<String>::new(), "the probe is gone");

    put_day(&store, 3, 100);
    let run = mulgil(&place, &["run"]).ends_with(0);
    assert!(run.stderr.contains("filled daily@2026-01-03 "), "{}", run.stderr);
    assert_eq!(total(&place), "8,321");
    assert_nothing_is_due(&place, "after the change");

    // A lost ledger is made again from what the tables say of themselves.
    std::fs::remove_dir_all(place.path().join(".mulgil")).unwrap();
    mulgil(&place, &["run"]).ends_with(0);
    assert_eq!(total(&place), "8,321");

    // Credentials of a profile do as well.
    let keys = format!("[ci]\naws_access_key_id = AKIDTEST\naws_secret_access_key = {SECRET}\n");
    place.write(".aws/credentials", &keys);
    let by_profile = command(&place, &["query", "select n from total", "-o", "csv"])
        .env_remove("AWS_ACCESS_KEY_ID")
        .env_remove("AWS_SECRET_ACCESS_KEY")
        .env("AWS_PROFILE", "ci")
        .output()
        .unwrap();
    assert_eq!(Done::of(by_profile).ends_with(0).stdout, "n\n8\n");

    place.remove("models/total.sql");
    mulgil(&place, &["run", "--prune"])
        .ends_with(0)
        .says("dropped table shop.total");
    assert_eq!(store.names("wh/shop/total"), Vec::<String>::new());
    assert!(!store.names("wh/shop/daily").is_empty());
    for entry in std::fs::read_dir(place.path().join(".mulgil")).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap_or_default();
        let holds_secret = bytes.windows(SECRET.len()).any(|part| part == SECRET.as_bytes());
        assert!(!holds_secret, "{} holds the secret", path.display());
    }
}

#[test]
fn every_format_is_read_from_a_bucket_with_python() {
    let store = Store::start();
    let script = format!(
        "import boto3, duckdb, gzip\n\
         duckdb.sql(\"copy (select i as id, i * 2 as twice from range(20000) t(i)) to 'x.parquet' \
         (row_group_size 4096)\")\n\
         s3 = boto3.client('s3', endpoint_url='http://127.0.0.1:{}', aws_access_key_id='a', \
         aws_secret_access_key='b', region_name='us-east-1')\n\
         rows = ''.join('{{\"id\": %d}}\\n' % i for i in range(1000))\n\
         for name, body in [('x.parquet', open('x.parquet', 'rb').read()), \
         ('x.jsonl.gz', gzip.compress(rows.encode())), ('x.csv.gz', gzip.compress(b'id\\n1\\n2\\n')), \
         ('empty.csv', b'id\\n')]:\n\
        \x20   s3.put_object(Bucket='lake', Key='in/' + name, Body=body)\n",
        store.port
    );
    let place = Place::of(&format!(
        "\
=== mulgil.yml
name: shop
warehouse: {{url: 's3://lake/wh', endpoint: 'http://127.0.0.1:{}', allow_http: true}}
sources:
  raw:
    parquet: {{files: 's3://lake/in/x.parquet'}}
    json: {{files: 's3://lake/in/x.jsonl.gz'}}
    csv: {{files: 's3://lake/in/x.csv.gz'}}
    none: {{files: 's3://lake/in/empty.csv', columns: {{id: bigint}}}}
=== models/sums.sql
{{{{ config(materialized='table') }}}}
select (select sum(twice) from {{{{ source('raw', 'parquet') }}}}) as parquet,
  (select count(id) from {{{{ source('raw', 'parquet') }}}} where id >= 19000) as few,
  (select sum(id) from {{{{ source('raw', 'json') }}}}) as json,
  (select sum(id) from {{{{ source('raw', 'csv') }}}}) as csv,
  (select count(*) from {{{{ source('raw', 'none') }}}}) as none
",
        store.port
    ));
    place.python(&script);
    mulgil(&place, &["run"]).ends_with(0);
    let done = mulgil(&place, &["query", "select * from sums", "-o", "csv"]).ends_with(0);
    assert_eq!(done.stdout.lines().nth(1), Some("399980000,1000,499500,3,0"));
}

#[test]
fn large_files_go_in_parts_with_python() {
    let store = Store::start();
    let place = Place::of(&format!(
        "\
=== mulgil.yml
name: shop
warehouse: {{url: 's3://lake/wh', endpoint: 'http://127.0.0.1:{}', allow_http: true}}
=== models/big.sql
{{{{ config(materialized='table') }}}}
select value, sha256(cast(value as text)) as digest from generate_series(1, 600000)
",
        store.port
    ));
    let counted = command(&place, &["run"])
        .env("MULGIL_CRASH_TEST", "count")
        .output()
        .unwrap();
    let counted = Done::of(counted).ends_with(0);
    let done = mulgil(&place, &["query", "select count(*), sum(value) from big", "-o", "csv"]).ends_with(0);
    assert_eq!(done.stdout.lines().nth(1), Some("600000,180000300000"));
    let parts = store.names("wh/shop/big/part-");
    assert!(parts.len() <= 2, "few files of many parts: {parts:?}");
    assert!(counted.stderr.contains("writes: "), "{}", counted.stderr);
    let uploads = store.ask("GET", "/lake?uploads", "");
    assert!(uploads.contains("ListMultipartUploadsResult"), "{uploads}");
    assert!(!uploads.contains("<UploadId>"), "an upload is left open: {uploads}");
}

#[test]
fn every_kill_is_survived_in_a_bucket_with_python() {
    let store = store_with_four_days();
    let fresh = |name: &str| {
        let place = project(store.port);
        place.edit("mulgil.yml", "s3://lake/wh", &format!("s3://lake/{name}"));
        place
    };
    let killed_at =
        |place: &Place, at: &str| Done::of(command(place, &["run"]).env("MULGIL_CRASH_TEST", at).output().unwrap());
    let undisturbed = fresh("wh-count");
    let counted = killed_at(&undisturbed, "count").ends_with(0);
    let writes = counted.writes();
    assert!(writes > STRIDES, "only {writes} writes were counted");
    let strides = (0..STRIDES).map(|stride| format!("write:{}", 1 + stride * (writes - 1) / (STRIDES - 1)));
    let points = ["files_written:1", "committed:1", "committed:2", "recorded:1"].map(str::to_owned);
    for (number, at) in strides.chain(points).enumerate() {
        let place = fresh(&format!("wh-{number}"));
        let killed = killed_at(&place, &at);
        assert!(killed.code.is_none() || killed.code == Some(0), "{at}: {killed:?}");
        mulgil(&place, &["run"]).ends_with(0);
        assert_eq!(total(&place), "8,30", "{at}");
        assert_nothing_is_due(&place, &at);
    }
}

#[test]
fn a_drop_that_was_killed_is_finished_by_the_next_with_python() {
    let store = store_with_four_days();
    let fresh = |name: &str| {
        let place = project(store.port);
        place.edit("mulgil.yml", "s3://lake/wh", &format!("s3://lake/{name}"));
        mulgil(&place, &["run"]).ends_with(0);
        place.remove("models/total.sql");
        place
    };
    let prune = |place: &Place, at: &str| {
        let mut prune = command(place, &["run", "--prune"]);
        Done::of(prune.env("MULGIL_CRASH_TEST", at).output().unwrap())
    };
    let counted = prune(&fresh("dropped"), "count").ends_with(0);
    let writes = usize::try_from(counted.writes()).unwrap();
    for at in (1..=writes).step_by((writes / 6).max(1)) {
        let name = format!("dropped-{at}");
        let place = fresh(&name);
        prune(&place, &format!("write:{at}"));
        prune(&place, "count").ends_with(0);
        assert_eq!(store.names(&format!("{name}/shop/total")), Vec::<String>::new(), "{at}");
        assert!(!store.names(&format!("{name}/shop/daily/_delta_log")).is_empty());
    }
}

#[test]
fn a_second_writer_is_refused_and_loses_nothing_with_python() {
    let store = store_with_four_days();
    let second = project(store.port);
    let (let_go, held) = mpsc::channel::<()>();
    let (tell, told) = mpsc::channel::<()>();
    let held = Mutex::new(Some((tell, held)));
    // Holds the first writer's first commit up until the second one has made its own.
    let port = proxy(
        store.port,
        Arc::new(move |head: String| {
            if head.starts_with("PUT ")
                && head.contains("/daily/_delta_log/")
                && let Some((tell, held)) = held.lock().unwrap().take()
            {
                tell.send(()).unwrap();
                held.recv().unwrap();
            }
            Passage::Answered(head)
        }),
    );
    let first = project(port);
    let slow = command(&first, &["run", "daily"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    told.recv().unwrap();
    mulgil(&second, &["run"]).ends_with(0);
    let_go.send(()).unwrap();
    let slow = Done::of(slow.wait_with_output().unwrap());
    assert!(slow.stderr.contains("MG4102"), "{slow:?}");
    let log: String = store
        .names("wh/shop/daily/_delta_log/")
        .iter()
        .map(|entry| store.ask("GET", &format!("/lake/{entry}"), ""))
        .collect();
    let files = store.names("wh/shop/daily/part-");
    let is_named = |file: &String| log.contains(file.rsplit('/').next().unwrap());
    assert!(!files.is_empty() && files.iter().all(is_named), "{files:?} {log}");
    assert_eq!(total(&second), "8,30");
}

#[test]
fn a_commit_whose_answer_is_lost_is_still_ours_with_python() {
    let store = store_with_four_days();
    let sent = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&sent);
    // The first commit arrives and its answer does not: the client hears of a failure and sends it again.
    let port = proxy(
        store.port,
        Arc::new(move |head: String| {
            let is_commit = head.starts_with("PUT ") && head.contains("/daily/_delta_log/");
            if is_commit && counter.fetch_add(1, Ordering::SeqCst) == 0 {
                return Passage::AnswerLost(head);
            }
            Passage::Answered(head)
        }),
    );
    let place = project(port);
    mulgil(&place, &["run"]).ends_with(0);
    assert_eq!(sent.load(Ordering::SeqCst), 2, "the commit was sent twice");
    assert_eq!(total(&place), "8,30");
    assert_nothing_is_due(&place, "after the lost answer");
}

#[test]
fn a_store_that_ignores_conditions_is_refused_with_python() {
    let store = store_with_four_days();
    let port = proxy(
        store.port,
        Arc::new(|head: String| {
            let is_condition = |line: &&str| line.to_ascii_lowercase().starts_with("if-none-match:");
            let kept: Vec<&str> = head.split("\r\n").filter(|line| !is_condition(line)).collect();
            Passage::Answered(kept.join("\r\n"))
        }),
    );
    let place = project(port);
    let run = mulgil(&place, &["run"]);
    assert_ne!(run.code, Some(0));
    let run = run
        .says("error[MG2105]: the store of s3://lake/wh does not heed")
        .says("do: use a store");
    assert!(!run.stderr.contains(SECRET));
    assert_eq!(store.names("wh"), Vec::<String>::new(), "nothing was written");
}

#[test]
fn what_is_wrong_with_a_store_is_said_and_its_secrets_are_not_with_python() {
    let store = store_with_four_days();
    let place = project(store.port);
    mulgil(&place, &["run"]).ends_with(0);
    let fault = |from: &str, to: &str, says: &str| {
        let settings = std::fs::read_to_string(place.path().join("mulgil.yml")).unwrap();
        place.edit("mulgil.yml", from, to);
        let done = mulgil(&place, &["query", "select * from total"]);
        place.write("mulgil.yml", &settings);
        assert_eq!(done.code, Some(4), "{done:?}");
        assert!(
            !done.stderr.contains(SECRET) && !done.stderr.contains("AKIDTEST"),
            "{}",
            done.stderr
        );
        done.says(says)
    };
    fault(
        "s3://lake/wh",
        "s3://nolake/wh",
        "error[MG2104]: S3 has no bucket `nolake`",
    );
    fault(", allow_http: true", "", "error[MG2103]: the endpoint http://127.0.0.1");
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    fault(
        &format!("127.0.0.1:{}", store.port),
        &format!("127.0.0.1:{free}"),
        "cannot be reached",
    )
    .says("the connection was refused");
    let denies = answering(
        "403 Forbidden",
        &format!("<Error><Code>SignatureDoesNotMatch</Code><StringToSign>{SECRET}</StringToSign></Error>"),
    );
    fault(
        &format!("127.0.0.1:{}", store.port),
        &format!("127.0.0.1:{denies}"),
        "error[MG2101]: S3 refuses access to s3://lake/wh (SignatureDoesNotMatch)",
    );
    let nobody = command(&place, &["plan"])
        .env_remove("AWS_ACCESS_KEY_ID")
        .env_remove("AWS_SECRET_ACCESS_KEY")
        .output()
        .unwrap();
    Done::of(nobody)
        .ends_with(4)
        .says("error[MG2102]: no credentials for S3");
}

/// A store that answers everything in one way.
fn answering(status: &str, body: &str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            let mut head = String::new();
            let mut reader = BufReader::new(client.try_clone().unwrap());
            while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).unwrap_or(0) > 0 {}
            let _ = client.write_all(answer.as_bytes());
        }
    });
    port
}
