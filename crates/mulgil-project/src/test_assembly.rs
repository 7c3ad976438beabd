//! The data tests of a project while it is put together: those that are queries are resolved, and the
//! rows that the others look at are kept.

use std::{collections::BTreeMap, path::PathBuf};

use mulgil_core::{
    diagnostic::{Diagnostic, Place},
    name::NodeName,
    project::{DataTest, Fingerprint, TestKind},
};

use crate::{
    assemble::Assembly,
    config,
    data_test::{self, Rows},
    dialect::{OF_TESTS, no_effect},
    files::TextFile,
    properties::Properties,
    test_query::{self, Queries},
};

impl Assembly<'_> {
    /// Resolves the data tests that are queries, and keeps which rows the others look at.
    pub(crate) fn add_tests(&mut self, faults: &mut Vec<Diagnostic>) {
        self.add_declared_tests(faults);
        for TextFile { path, text } in std::mem::take(&mut self.files.tests) {
            if let Err(fault) = self.templates.add(&path, text) {
                faults.push(fault);
                continue;
            }
            self.add_own_test(path, faults);
        }
    }

    fn add_declared_tests(&mut self, faults: &mut Vec<Diagnostic>) {
        let mut described = std::mem::take(&mut self.properties);
        tell_apart(&mut described);
        let groups = [&mut described.models, &mut described.seeds, &mut described.snapshots];
        for (name, one) in groups.into_iter().flatten() {
            let is_there = self.catalog.by_name.contains_key(&NodeName::new(name));
            for test in one.tests.iter_mut().filter(|_| is_there) {
                if test.rows != Rows::default() {
                    self.catalog
                        .test_rows
                        .insert(test.declared.name.clone(), test.rows.clone());
                }
                if let Some(template) = test.template.take() {
                    self.resolve_declared(&NodeName::new(name), &mut test.declared, template, faults);
                }
            }
        }
        self.properties = described;
    }

    fn resolve_declared(
        &mut self,
        node: &NodeName,
        test: &mut DataTest,
        template: String,
        faults: &mut Vec<Diagnostic>,
    ) {
        let file = test_query::inline(&test.place, &test.name);
        if let Err(fault) = self.templates.add(&file, template) {
            faults.push(test_query::at_declaration(fault, &test.place));
            return;
        }
        let queries = self.queries();
        let Some(query) = queries.query(&test.name, file, Some(&test.place), faults) else {
            return;
        };
        let reads = queries
            .nodes(&query)
            .into_iter()
            .filter(|other| other != node)
            .collect();
        *test = test_query::asserting(test.clone(), &query, reads);
        self.catalog.tests.insert(test.name.clone(), query);
    }

    /// A data test that is a file of its own.
    fn add_own_test(&mut self, path: PathBuf, faults: &mut Vec<Diagnostic>) {
        let name = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let name = name.to_owned();
        let mut layer = self.manifest.tests.layer_of(&path);
        if let Some(described) = self.properties.tests.get(&name) {
            config::overlay(&mut layer, &described.settings);
        }
        let queries = self.queries();
        let Some(query) = queries.query(&name, path, None, faults) else {
            return;
        };
        let in_file = self.settings_in_file(&query.file, &query.first.rendered, OF_TESTS, faults);
        config::overlay(&mut layer, &in_file);
        let Some(config) = data_test::config(&layer, faults).filter(|config| config.enabled) else {
            return;
        };
        if let Some(setting) = in_file.get("where") {
            faults.push(no_effect("`where` of a data test that is a query").at(setting.place.clone()));
        }
        let Some((owner, reads)) = queries.owner(&query, faults) else {
            return;
        };
        let test = DataTest {
            name: name.clone(),
            kind: TestKind::Query { reads: Vec::new() },
            severity: config.severity,
            thresholds: config.thresholds,
            fingerprint: config.fingerprint(Fingerprint::default()),
            place: Place::file(&query.file),
        };
        let test = test_query::asserting(test, &query, reads);
        if let Some(limit) = config.rows.limit {
            let rows = Rows {
                filter: None,
                limit: Some(limit),
            };
            self.catalog.test_rows.insert(name.clone(), rows);
        }
        self.catalog.tests.insert(name, query);
        self.own_tests.entry(owner).or_default().push(test);
    }

    fn queries(&self) -> Queries<'_> {
        Queries {
            catalog: &self.catalog,
            known: &self.known,
            templates: &self.templates,
        }
    }
}

/// Gives data tests of one name that assert different things a name each. The first keeps its own; the
/// same test twice is left, and told.
fn tell_apart(described: &mut Properties) {
    let mut taken: BTreeMap<String, Fingerprint> = BTreeMap::new();
    let groups = [&mut described.models, &mut described.seeds, &mut described.snapshots];
    let tests = groups
        .into_iter()
        .flat_map(|group| group.values_mut())
        .flat_map(|one| &mut one.tests);
    for test in tests {
        let identity = test.identity();
        match taken.get(&test.declared.name) {
            Some(other) if *other != identity => {
                test.declared.name = format!("{}_{}", test.declared.name, identity.short());
            }
            Some(_) => {}
            None => {
                taken.insert(test.declared.name.clone(), identity);
            }
        }
    }
}
