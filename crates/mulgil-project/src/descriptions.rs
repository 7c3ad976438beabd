//! Descriptions of what is not there: a YAML file names a model, seed, data test or source that the
//! project does not have.

use mulgil_core::{codes, diagnostic::Diagnostic, name::NodeName};

use crate::{assemble::Assembly, config::Kind, dialect::Dialect, text};

impl Assembly<'_> {
    /// Descriptions of what is not there.
    pub(crate) fn describe(&self, faults: &mut Vec<Diagnostic>) {
        let group_of = |name: &str| match self.catalog.model(&NodeName::new(name)).map(|model| model.config.kind) {
            Some(Kind::Seed) => "seed",
            Some(Kind::Snapshot) => "snapshot",
            Some(Kind::Table | Kind::View | Kind::Ephemeral | Kind::Interval | Kind::Incremental) | None => "model",
        };
        let unusable = |name: &str| {
            let name = NodeName::new(name);
            self.known.broken.contains(&name) || self.known.disabled.contains(&name)
        };
        let groups = [
            ("model", &self.properties.models),
            ("seed", &self.properties.seeds),
            ("snapshot", &self.properties.snapshots),
        ];
        for (what, described) in groups {
            for (name, one) in described {
                let is_there = self.known.names.contains(&NodeName::new(name));
                if is_there && (unusable(name) || group_of(name) == what) {
                    continue;
                }
                let remedy = if is_there {
                    format!("move it under `{}s:`", group_of(name))
                } else {
                    text::nearest(name, self.known.names.iter().map(NodeName::as_str)).map_or_else(
                        || format!("write the file of the {what}, or remove the description"),
                        |near| format!("write `{near}`, or remove the description"),
                    )
                };
                let fault = Diagnostic::error(
                    codes::UNKNOWN_PROPERTY,
                    format!("there is no {what} `{name}` to describe"),
                );
                let fault = fault.at(one.place.clone()).with_remedy(remedy);
                faults.push(self.manifest.dialect.softened(fault));
            }
        }
        let files = self.files.tests.iter();
        let tests: Vec<&str> = files.filter_map(|file| file.path.file_stem()?.to_str()).collect();
        for (name, one) in self
            .properties
            .tests
            .iter()
            .filter(|(name, _)| !tests.contains(&name.as_str()))
        {
            let remedy = text::nearest(name, tests.iter().copied()).map_or_else(
                || "write its query in a file under `tests/`, or remove the description".to_owned(),
                |near| format!("write `{near}`, or remove the description"),
            );
            let fault = Diagnostic::error(
                codes::UNKNOWN_PROPERTY,
                format!("there is no data test `{name}` to describe"),
            );
            let fault = fault.at(one.place.clone()).with_remedy(remedy);
            faults.push(self.manifest.dialect.softened(fault));
        }
        // What dbt calls a source may be a table that nothing here reads.
        if self.manifest.dialect == Dialect::Dbt {
            return;
        }
        for (name, one) in &self.properties.sources {
            if self.catalog.sources.contains_key(&NodeName::new(name)) {
                continue;
            }
            let remedy = text::nearest(name, self.catalog.sources.keys().map(NodeName::as_str)).map_or_else(
                || "declare it under `sources:` in `mulgil.yml`, with its `files:`".to_owned(),
                |near| format!("write `{near}`, or declare it in `mulgil.yml`"),
            );
            faults.push(
                Diagnostic::error(
                    codes::UNKNOWN_PROPERTY,
                    format!("there is no source `{name}` to describe"),
                )
                .at(one.place.clone())
                .with_remedy(remedy),
            );
        }
    }
}
