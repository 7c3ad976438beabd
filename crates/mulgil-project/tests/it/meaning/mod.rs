//! What a project that has no faults means.

mod files;
mod inputs;
mod places;
mod settings;
mod time;

use mulgil_core::project::{CodeFp, Fingerprint, Node};

/// A node without its fingerprints, which say nothing to a reader.
fn unprinted(mut node: Node) -> Node {
    node.fingerprint = CodeFp::default();
    for test in &mut node.tests {
        test.fingerprint = Fingerprint::default();
    }
    node
}

/// Nodes as a table: what matters of them in one line each.
fn table(nodes: &[Node]) -> String {
    let lines: Vec<String> = nodes
        .iter()
        .map(|node| {
            let inputs: Vec<String> = node
                .inputs
                .iter()
                .map(|input| {
                    let keys = if input.shared_keys.is_empty() {
                        String::new()
                    } else {
                        format!("[{}]", input.shared_keys.join(","))
                    };
                    format!("{}{keys} {:?}", input.from.name(), input.mapping)
                })
                .collect();
            format!(
                "{} {:?} {} {:?} {:?} <- {}",
                node.relation,
                node.materialization,
                serde_json::to_string(&node.grid.cut).expect("a cut can be written"),
                node.grid.extent(),
                node.batch,
                inputs.join(", ")
            )
        })
        .collect();
    lines.join("\n")
}
