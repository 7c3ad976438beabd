//! The form in which facts lie in ledgers. A ledger of any version that was released has to be read
//! by every later one, so these texts are only ever added to.

use std::collections::BTreeSet;

use mulgil_store::fact::Fact;

const GOLDEN: &[(&str, &str)] = &[
    (
        "run_began",
        r#"{"run_began":{"run":7,"trigger":"backfill","selector":"tag:daily","manual":[[{"node":"flights"},[{"start":0,"end":86400000000}]]],"named":[{"node":"sales","key":{"country":"kr"}}]}}"#,
    ),
    ("run_ended", r#"{"run_ended":{"run":7,"state":"success"}}"#),
    (
        "claimed",
        r#"{"claimed":{"run":7,"task_run":9,"attempt":11,"instance":{"node":"sales","key":{"country":"kr"}},"relation":{"schema":"dev_shop","name":"sales"},"range":{"start":0,"end":86400000000},"kind":"fill","reason":{"kind":"missing"},"fingerprint":{"code":"00000000000000000000000000000001","schema":"00000000000000000000000000000002"}}}"#,
    ),
    (
        "filled",
        r#"{"filled":{"attempt":11,"claim_seq":3,"instance":{"node":"flights"},"relation":{"schema":"dev_shop","name":"flights"},"materialization":"interval","range":{"start":0,"end":7200000000},"fingerprint":{"code":"00000000000000000000000000000001","schema":"00000000000000000000000000000002"},"made_at":5,"version":4,"columns":[{"name":"id","data_type":"Int64"}],"untested":true,"adopted":true,"intervals":[[0,3600000000,10,"000000000000000000000000000000aa"],[3600000000,7200000000,0,"000000000000000000000000000000bb"]],"changed":[[0,null],[1,[5,"000000000000000000000000000000cc"]]],"marks":[{"instance":{"node":"windows"},"ranges":[{"start":0,"end":7200000000}],"released":[{"start":7200000000,"end":9000000000}],"because":[[0,{"start":0,"end":7200000000}]]}]}}"#,
    ),
    (
        "filled",
        r#"{"filled":{"attempt":11,"claim_seq":3,"instance":{"node":"flights"},"relation":{"schema":"dev_shop","name":"flights"},"materialization":"interval","range":{"start":0,"end":3600000000},"fingerprint":{"code":"00000000000000000000000000000001","schema":"00000000000000000000000000000002"},"made_at":5,"version":4,"table_id":"0f1e","untested":true,"waits":true,"replaces_all":true,"removed":[[{"node":"flights"},[{"start":3600000000,"end":7200000000}]]],"intervals":[[0,3600000000,10,"000000000000000000000000000000aa"]],"outdated":[{"upstream":{"node":"weather"},"ranges":[{"start":0,"end":3600000000}]}]}}"#,
    ),
    (
        "failed",
        r#"{"failed":{"attempt":11,"instance":{"node":"flights"},"range":{"start":0,"end":3600000000},"fault":{"code":"MG0006","severity":"error","message":"it broke","do":"mend it","retry":"later"},"state":"failed","failing":{"equal_count":2,"code":"MG0006","failed_at":5,"next_try_at":9,"retry":"later","code_fp":{"code":"00000000000000000000000000000001","schema":"00000000000000000000000000000002"}}}}"#,
    ),
    (
        "failed",
        r#"{"failed":{"attempt":12,"instance":{"node":"flights"},"range":{"start":0,"end":3600000000},"state":"cancelled"}}"#,
    ),
    (
        "tested",
        r#"{"tested":{"attempt":13,"node":"sales","saw_seq":8,"results":[{"name":"not_null_sales_id","fingerprint":"000000000000000000000000000000dd","failures":1,"sample":[{"id":null}]}],"clears_through":8,"instances":[{"node":"sales","key":{"country":"kr"}}],"state":"failed"}}"#,
    ),
    (
        "source_changed",
        r#"{"source_changed":{"source":"raw.events","columns":[{"name":"id","data_type":"Int64"}],"files":[{"path":"data/20260101.json","size":100,"modified_ns":1,"content":"aa","interval":{"start":0,"end":86400000000}}],"gone":["data/20260102.json"],"hours":[[0,3600000000,3,"000000000000000000000000000000ee"]],"hours_gone":[{"start":3600000000,"end":7200000000}],"changes":[{"over":{"start":0,"end":86400000000},"file":"data/20260101.json","old":"99","new":"aa"},{"over":{"start":86400000000,"end":172800000000},"file":"data/20260102.json","old":"bb","new":null}],"marks":[{"instance":{"node":"flights"},"ranges":[{"start":0,"end":86400000000}],"because":[[0,{"start":0,"end":86400000000}]]}],"left":[{"instance":{"node":"flights"},"ranges":[{"start":86400000000,"end":172800000000}],"because":[[1,{"start":86400000000,"end":172800000000}]]}]}}"#,
    ),
    (
        "target_changed",
        r#"{"target_changed":{"relation":{"schema":"dev_shop","name":"flights"},"node":"flights","materialization":"interval","version":9,"table_id":"0f1e","waits":true,"bytes":1000,"files":10,"commits":[{"kind":"commit","version":9,"committed_at":5},{"kind":"gap","version":9,"recorded":4},{"kind":"older","version":2,"recorded":4},{"kind":"replaced","version":9,"recorded":4}],"marks":[{"instance":{"node":"flights"},"ranges":[{"start":0,"end":86400000000}],"because":[[0,{"start":0,"end":86400000000}]]}],"read_by":[{"instance":{"node":"windows"},"ranges":[{"start":0,"end":86400000000}],"because":[[0,{"start":0,"end":86400000000}]]}]}}"#,
    ),
    (
        "published",
        r#"{"published":{"relation":{"schema":"dev_shop","name":"flights"},"node":"flights","table_id":"0f1e","version":4}}"#,
    ),
    (
        "rolled_back",
        r#"{"rolled_back":{"relation":{"schema":"dev_shop","name":"flights"},"node":"flights","claim_seq":12,"version":8,"to":5,"fingerprint":{"code":"00000000000000000000000000000001","schema":"00000000000000000000000000000002"},"untested":true,"columns":[{"name":"id","data_type":"Int64"}],"instances":[{"node":"flights"}],"undone":[{"instance":{"node":"flights"},"lost":[{"start":3600000000,"end":7200000000}],"restored":[{"range":{"start":0,"end":3600000000},"fingerprint":{"code":"00000000000000000000000000000001","schema":"00000000000000000000000000000002"},"claim_seq":3,"made_at":4,"filled_at":5,"intervals":[[0,3600000000,10,"000000000000000000000000000000aa"]]}]}],"marks":[{"instance":{"node":"windows"},"ranges":[{"start":0,"end":7200000000}],"because":[[0,{"start":0,"end":7200000000}]]}]}}"#,
    ),
    (
        "target_vanished",
        r#"{"target_vanished":{"relation":{"schema":"dev_shop","name":"flights"},"instances":[{"node":"flights"}]}}"#,
    ),
    (
        "sequence_raised",
        r#"{"sequence_raised":{"relation":{"schema":"dev_shop","name":"flights"},"highest_seq":99}}"#,
    ),
    ("crashed", r#"{"crashed":{"attempts":[11],"task_runs":[9],"runs":[7]}}"#),
    (
        "waived",
        r#"{"waived":{"instance":{"node":"flights"},"ranges":[{"start":0,"end":86400000000}],"by":"mina","reason":"the source lost them"}}"#,
    ),
    (
        "run_began",
        r#"{"run_began":{"run":8,"trigger":"backfill","selector":"flights (backfill 2)","manual":[[{"node":"flights"},[{"start":0,"end":86400000000}]]],"backfill":2}}"#,
    ),
    (
        "flow_began",
        r#"{"flow_began":{"run":9,"flow":"sales","trigger":"backfill","interval":{"start":0,"end":86400000000},"version":"000000000000000000000000000000aa","params":{"country":"kr"},"backfill":2}}"#,
    ),
    (
        "flow_defined",
        r#"{"flow_defined":{"version":"000000000000000000000000000000aa","definition":{"name":"sales"}}}"#,
    ),
    (
        "flow_ended",
        r#"{"flow_ended":{"run":9,"instance":{"node":"flow:sales"},"interval":{"start":0,"end":86400000000},"state":"cancelled","leaves":{"kind":"cancelled","claim_seq":4}}}"#,
    ),
    (
        "flow_reopened",
        r#"{"flow_reopened":{"run":9,"flow":"sales","by":"mina","steps":[{"step":"load","progress":{"stage":{"kind":"waiting"},"failures":0,"crashes":0,"began_at":null,"before":3}}]}}"#,
    ),
    (
        "backfill_made",
        r#"{"backfill_made":{"backfill":2,"terms":{"selector":"flow:sales","by":"mina","order":"newest_first","parallel":4,"share":25,"params":{"country":"kr"}},"parts":[{"instance":{"node":"flow:sales"},"grid":{"cut":{"unit":"day"},"zone":"UTC","begin":null,"end":null},"ranges":[{"start":0,"end":172800000000}]}]}}"#,
    ),
    (
        "backfill_asked",
        r#"{"backfill_asked":{"backfill":2,"ranges":[[{"node":"flow:sales"},[{"start":0,"end":86400000000}]]]}}"#,
    ),
    (
        "backfill_paused",
        r#"{"backfill_paused":{"backfill":2,"by":"mina","given_back":[[{"node":"flow:sales"},[{"start":0,"end":86400000000}]]]}}"#,
    ),
    ("backfill_resumed", r#"{"backfill_resumed":{"backfill":2,"by":"mina"}}"#),
    (
        "backfill_cancelled",
        r#"{"backfill_cancelled":{"backfill":2,"by":"mina","withdrawn":[[{"node":"flow:sales"},[{"start":0,"end":86400000000}]]],"runs":[9]}}"#,
    ),
];

#[test]
fn every_fact_that_was_ever_written_is_read_and_written_as_it_was() {
    for (kind, text) in GOLDEN {
        let fact: Fact = serde_json::from_str(text).unwrap_or_else(|error| panic!("{kind}: {error}"));
        assert_eq!(fact.kind(), *kind);
        assert_eq!(serde_json::to_string(&fact).unwrap(), *text);
    }
    let kinds: BTreeSet<&str> = GOLDEN.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds.len(), 23, "a new kind of fact needs its text here");
}
