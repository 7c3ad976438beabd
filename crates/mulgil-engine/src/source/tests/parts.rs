//! Large files read in parts: the same rows whatever the parts, and the lines of the whole file in what
//! is said of them.

use datafusion::arrow::{array::RecordBatch, util::pretty::pretty_format_batches};
use insta::assert_snapshot;
use mulgil_core::{
    port::{Fault, SourceSeen},
    project::FileFormat,
};
use proptest::prelude::*;

use super::{
    super::{event::RowRule, look::look, reader::SourceShape, window::Span},
    Fixture,
};

fn json(text: impl AsRef<[u8]>) -> Fixture {
    Fixture::csv("t.jsonl")
        .format(FileFormat::JsonLines)
        .file("t.jsonl", text)
}

fn csv(text: impl AsRef<[u8]>) -> Fixture {
    Fixture::csv("t.csv").file("t.csv", text)
}

/// The parts between cuts, which may come in any order and more than once.
fn parts(cuts: &[usize]) -> Vec<Span> {
    let mut cuts: Vec<u64> = cuts.iter().map(|cut| *cut as u64).collect();
    cuts.extend([0, u64::MAX]);
    cuts.sort_unstable();
    let part = |cuts: &[u64]| Span {
        start: cuts[0],
        end: cuts[1],
    };
    cuts.windows(2).map(part).collect()
}

impl Fixture {
    /// The rows of each part, one after the other, with the columns that a look at the whole finds.
    fn rows_in(&self, parts: &[Span]) -> Result<String, Fault> {
        let seen = look(&self.place(), &self.source, &SourceSeen::default())?;
        self.rows_over(&seen, parts)
    }

    fn rows_over(&self, seen: &SourceSeen, parts: &[Span]) -> Result<String, Fault> {
        let shape = SourceShape::new(&self.place(), &self.source, &seen.columns)?;
        let columns: Vec<usize> = (0..seen.columns.len()).collect();
        let mut batches: Vec<RecordBatch> = Vec::new();
        for part in parts {
            let mut reader = shape.open_span(&seen.files[0], *part, &columns, RowRule::All)?;
            while let Some(batch) = reader.next()? {
                batches.push(batch);
            }
        }
        Ok(pretty_format_batches(&batches).unwrap().to_string())
    }
}

proptest! {
    // Each case writes files.
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn parts_of_json_lines_have_the_rows_of_the_whole(
        rows in prop::collection::vec(("[a-z\"한\\n]{0,12}", prop::sample::select(vec!["\n", "\r\n", "\n\n"])), 1..20),
        mark in any::<bool>(),
        cuts in prop::collection::vec(0_usize..600, 0..6),
    ) {
        let mut text = if mark { "\u{feff}".to_owned() } else { String::new() };
        for (id, (value, end)) in rows.iter().enumerate() {
            text += &format!("{}{end}", serde_json::json!({"id": id, "text": value}));
        }
        let fixture = json(&text);
        let whole = fixture.rows_in(&[Span::WHOLE]).unwrap();
        prop_assert_eq!(fixture.rows_in(&parts(&cuts)).unwrap(), whole);
        // The last line may lack its end.
        let fixture = json(text.trim_end());
        let whole = fixture.rows_in(&[Span::WHOLE]).unwrap();
        prop_assert_eq!(fixture.rows_in(&parts(&cuts)).unwrap(), whole);
    }

    #[test]
    fn parts_of_csv_have_the_rows_of_the_whole(
        rows in prop::collection::vec((prop::option::of("[a,\"\r\n한]{0,8}"), "[a-z]{0,9}"), 0..20),
        end in prop::sample::select(vec!["\n", "\r\n"]),
        mark in any::<bool>(),
        cuts in prop::collection::vec(0_usize..400, 0..6),
    ) {
        let mut text = if mark { "\u{feff}".to_owned() } else { String::new() };
        text += &format!("\"quo\nted\",plain{end}");
        for (quoted, plain) in &rows {
            let quoted = quoted.as_ref().map(|text| format!("\"{}\"", text.replace('"', "\"\"")));
            text += &format!("{},{plain}{end}", quoted.unwrap_or_default());
        }
        let fixture = csv(&text);
        let whole = fixture.rows_in(&[Span::WHOLE]).unwrap();
        prop_assert_eq!(fixture.rows_in(&parts(&cuts)).unwrap(), whole);
    }

    /// Whatever is wrong with a file, a part that meets it says what the whole says.
    #[test]
    fn parts_of_broken_csv_say_what_the_whole_says(
        text in "[a\",\n]{0,40}",
        cuts in prop::collection::vec(0_usize..50, 0..4),
    ) {
        let good = csv("a\nx\n");
        let known = SourceSeen {
            files: Vec::new(),
            ..look(&good.place(), &good.source, &SourceSeen::default()).unwrap()
        };
        let fixture = csv(format!("a\n{text}"));
        let seen = look(&fixture.place(), &fixture.source, &known).unwrap();
        let told = |part: Span| fixture.rows_over(&seen, &[part]).map_err(|fault| fault.to_string());
        let whole = told(Span::WHOLE).err();
        let faults: Vec<String> = parts(&cuts).into_iter().filter_map(|part| told(part).err()).collect();
        prop_assert_eq!(faults.is_empty(), whole.is_none());
        prop_assert!(faults.iter().all(|fault| Some(fault) == whole.as_ref()), "{faults:?} {whole:?}");
    }

    #[test]
    fn a_wrong_value_is_told_with_its_line_in_the_file(
        wrong in 0_usize..30,
        cuts in prop::collection::vec(0_usize..900, 0..5),
    ) {
        let value = |id: usize| if id == wrong { "[{\"n\": \"x\"}]" } else { "[{\"n\": 1}]" };
        let line = |id: usize| format!("{{\"id\": {id}, \"v\": {}}}\n", value(id));
        let fixture = json((0..30).map(line).collect::<String>()).column("v", "array<struct<n bigint>>");
        let fault = fixture.rows_in(&parts(&cuts)).unwrap_err();
        prop_assert_eq!(fault.place.unwrap().line, Some(wrong as u32 + 1));
        let row = |id: usize| format!("\"a\n{id}\",{}\n", if id == wrong { "x" } else { "1" });
        let fixture = csv("t,n\n".to_owned() + &(0..30).map(row).collect::<String>()).column("n", "bigint");
        let fault = fixture.rows_in(&parts(&cuts)).unwrap_err();
        prop_assert_eq!(fault.place.unwrap().line, Some(wrong as u32 * 2 + 3));
    }
}

/// Large enough that two threads read it.
#[tokio::test]
async fn a_large_file_is_read_in_parts() {
    let text = "x".repeat(1_000);
    let rows = 17_000;
    let line = |id: usize| format!("{{\"id\": {id}, \"tags\": [{{\"k\": \"{text}\"}}]}}\n");
    let fixture = json((0..rows).map(line).collect::<String>());
    let plan = fixture.sql("explain select * from t").await.unwrap();
    assert!(plan.contains("SourceScan: source=raw.t, files=1, parts=2"), "{plan}");
    assert_snapshot!(
        fixture
            .sql("select count(distinct id) as n, sum(id) as s, count(distinct tags[1]['k']) as k from t")
            .await
            .unwrap(),
        @r"
    +-------+-----------+---+
    | n     | s         | k |
    +-------+-----------+---+
    | 17000 | 144491500 | 1 |
    +-------+-----------+---+
    "
    );
    fixture.write(
        "t.jsonl",
        (0..rows)
            .map(line)
            .collect::<String>()
            .replace("{\"id\": 16998,", "{\"id\": 1.5,"),
    );
    let fixture = fixture.column("id", "bigint");
    let complaint = fixture.sql("select sum(id) from t").await.unwrap_err().to_string();
    assert!(complaint.contains("--> t.jsonl:16999:8"), "{complaint}");
}

/// What a key holds may show late in a file that is longer than a sample.
#[tokio::test]
async fn a_look_at_a_long_file_sees_its_start_its_middle_and_its_end() {
    let text = "x".repeat(1_000);
    let line = |id: usize| match id {
        0 => "{\"first\": [1]}\n".to_owned(),
        19_999 => "{\"last\": {\"n\": 1}}\n".to_owned(),
        id => format!("{{\"id\": {id}, \"text\": \"{text}\"}}\n"),
    };
    let fixture = json((0..20_000).map(line).collect::<String>());
    assert_snapshot!(fixture.inferred().await, @r"
    first array<bigint>
    id Int64
    text Utf8
    last struct<n bigint>
    ");
}
