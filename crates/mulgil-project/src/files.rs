//! The only reading from disk: the files of a project folder, in the order of their names.

use std::{
    collections::BTreeSet,
    fs::{self, DirEntry},
    io::Read as _,
    path::{Path, PathBuf},
};

use mulgil_core::{
    codes,
    diagnostic::{Diagnostic, Place},
};

use crate::{LoadOptions, flows::MAX_FLOW_BYTES, ignore::Ignore, parallel};

/// The file that makes a folder a project.
pub(crate) const MANIFEST: &str = "mulgil.yml";
/// The file that makes a folder a project of dbt, which is read as it is.
pub(crate) const DBT_MANIFEST: &str = "dbt_project.yml";
/// Where a dbt project's targets stand.
pub(crate) const PROFILES: &str = "profiles.yml";
/// The folder of flows.
const FLOWS: &str = "flows";
/// The variable that names the folder of `profiles.yml`.
const PROFILES_DIR: &str = "DBT_PROFILES_DIR";
/// The files that keep others out.
const IGNORES: [&str; 2] = [".dbtignore", ".mulgilignore"];
/// How deep folders may be nested.
const MAX_DEPTH: usize = 32;

/// A text file of the project.
pub(crate) struct TextFile {
    /// From the project folder.
    pub(crate) path: PathBuf,
    pub(crate) text: String,
}

/// A file whose bytes are data.
pub(crate) struct DataFile {
    /// From the project folder.
    pub(crate) path: PathBuf,
    pub(crate) bytes: Vec<u8>,
    pub(crate) modified_ns: i64,
}

/// The folders that files are looked for in, from the project folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Paths {
    pub(crate) models: Vec<String>,
    pub(crate) seeds: Vec<String>,
    pub(crate) macros: Vec<String>,
    pub(crate) tests: Vec<String>,
    pub(crate) snapshots: Vec<String>,
}

impl Default for Paths {
    fn default() -> Self {
        let one = |name: &str| vec![name.to_owned()];
        Self {
            models: one("models"),
            seeds: one("seeds"),
            macros: one("macros"),
            tests: one("tests"),
            snapshots: one("snapshots"),
        }
    }
}

/// Everything that was found.
#[derive(Default)]
pub(crate) struct Files {
    pub(crate) models: Vec<TextFile>,
    pub(crate) macros: Vec<TextFile>,
    /// Queries whose rows are failures.
    pub(crate) tests: Vec<TextFile>,
    pub(crate) properties: Vec<TextFile>,
    pub(crate) seeds: Vec<DataFile>,
    /// Files of `snapshot` blocks.
    pub(crate) snapshots: Vec<TextFile>,
    /// Flows.
    pub(crate) flows: Vec<TextFile>,
    /// What dbt reads and this version does not: models in Python.
    pub(crate) unread: Vec<(PathBuf, &'static str)>,
}

/// The texts that make a folder a project.
#[derive(Debug, Default)]
pub(crate) struct Manifests {
    pub(crate) own: Option<String>,
    pub(crate) dbt: Option<String>,
}

/// The nearest folder, from here upwards, that has a `mulgil.yml` or a `dbt_project.yml`.
pub(crate) fn find_root(from: &Path) -> Option<PathBuf> {
    from.ancestors()
        .find(|folder| [MANIFEST, DBT_MANIFEST].iter().any(|name| folder.join(name).exists()))
        .map(Path::to_path_buf)
}

/// The texts of `mulgil.yml` and `dbt_project.yml`: at least one of them.
pub(crate) fn read_manifests(root: &Path, faults: &mut Vec<Diagnostic>) -> Option<Manifests> {
    let dbt = root.join(DBT_MANIFEST).is_file();
    let own = !dbt || root.join(MANIFEST).exists();
    let manifests = Manifests {
        own: own.then(|| read_manifest(root, faults)).flatten(),
        dbt: dbt.then(|| read_text(root, Path::new(DBT_MANIFEST), faults)).flatten(),
    };
    // One that is there and cannot be read leaves nothing to go on with.
    (own == manifests.own.is_some() && dbt == manifests.dbt.is_some()).then_some(manifests)
}

/// The text of `profiles.yml`, and the path that people know it by: in the folder that the
/// environment names, else in the project folder, else in `~/.dbt`.
pub(crate) fn read_profiles(
    root: &Path,
    options: &LoadOptions,
    faults: &mut Vec<Diagnostic>,
) -> Option<(PathBuf, String)> {
    if let Some(folder) = options.env.get(PROFILES_DIR).filter(|folder| !folder.is_empty()) {
        let path = Path::new(folder).join(PROFILES);
        if !root.join(&path).is_file() {
            faults.push(
                Diagnostic::error(
                    codes::MISSING_FILE,
                    format!("`{PROFILES_DIR}` names a folder without a `{PROFILES}`"),
                )
                .at(Place::file(path))
                .with_remedy(format!("put the file there, or unset `{PROFILES_DIR}`")),
            );
            return None;
        }
        return read_text(root, &path, faults).map(|text| (path, text));
    }
    let home = options.home.as_ref().map(|home| home.join(".dbt").join(PROFILES));
    let path = [Some(PathBuf::from(PROFILES)), home]
        .into_iter()
        .flatten()
        .find(|path| root.join(path).is_file())?;
    read_text(root, &path, faults).map(|text| (path, text))
}

/// The text of `mulgil.yml`.
fn read_manifest(root: &Path, faults: &mut Vec<Diagnostic>) -> Option<String> {
    if root.join(MANIFEST).is_dir() {
        faults.push(
            Diagnostic::error(
                codes::FILE_UNREADABLE,
                format!("`{MANIFEST}` is a folder, but a file is needed"),
            )
            .at(Place::file(MANIFEST))
            .with_remedy(format!(
                "rename the folder, and write a file `{MANIFEST}` with a `name:`"
            )),
        );
        return None;
    }
    if !root.join(MANIFEST).is_file() {
        faults.push(
            Diagnostic::error(
                codes::NO_PROJECT,
                format!("the folder {} has no `{MANIFEST}`, so it is no project", root.display()),
            )
            .with_remedy(format!(
                "go to a project folder, or write a `{MANIFEST}` with a `name:`"
            )),
        );
        return None;
    }
    read_text(root, Path::new(MANIFEST), faults)
}

/// All models, macros, tests, seeds and the YAML files beside them.
pub(crate) fn read(root: &Path, paths: &Paths, faults: &mut Vec<Diagnostic>) -> Files {
    let ignore = ignore(root, faults);
    let mut files = Files::default();
    for path in walk_all(root, &paths.models, &ignore, faults) {
        match extension(&path) {
            "sql" => files.models.extend(text_file(root, path, faults)),
            "yml" | "yaml" => files.properties.extend(text_file(root, path, faults)),
            "py" => files.unread.push((path, "a model in Python")),
            _ => {}
        }
    }
    for path in walk_all(root, &paths.macros, &ignore, faults) {
        if extension(&path) == "sql" {
            files.macros.extend(text_file(root, path, faults));
        }
    }
    for path in walk_all(root, &paths.tests, &ignore, faults) {
        match extension(&path) {
            // Rows for unit tests, which are no queries of their own.
            _ if has_part(&path, "fixtures") => {}
            "sql" if has_part(&path, "generic") => files.macros.extend(text_file(root, path, faults)),
            "sql" => files.tests.extend(text_file(root, path, faults)),
            "yml" | "yaml" => files.properties.extend(text_file(root, path, faults)),
            _ => {}
        }
    }
    for path in walk_all(root, &paths.seeds, &ignore, faults) {
        match extension(&path) {
            "csv" => files.seeds.extend(data_file(root, path, faults)),
            "yml" | "yaml" => files.properties.extend(text_file(root, path, faults)),
            _ => {}
        }
    }
    for path in walk_all(root, &paths.snapshots, &ignore, faults) {
        match extension(&path) {
            "sql" => files.snapshots.extend(text_file(root, path, faults)),
            "yml" | "yaml" => files.properties.extend(text_file(root, path, faults)),
            _ => {}
        }
    }
    let mut flows = walk(root, FLOWS, &ignore, faults);
    flows.retain(|path| matches!(extension(path), "yml" | "yaml"));
    // Of these there may be very many.
    for read in parallel::map(flows, |path| flow_file(root, path)) {
        match read {
            Ok(file) => files.flows.push(file),
            Err(fault) => faults.push(*fault),
        }
    }
    files
}

/// Where the files are that names come from; none is read.
#[derive(Default)]
pub(crate) struct Listed {
    pub(crate) models: Vec<PathBuf>,
    pub(crate) seeds: Vec<PathBuf>,
    pub(crate) snapshots: Vec<PathBuf>,
    pub(crate) flows: Vec<PathBuf>,
}

/// The files of models, seeds, snapshots and flows.
pub(crate) fn list(root: &Path, paths: &Paths, faults: &mut Vec<Diagnostic>) -> Listed {
    let ignore = ignore(root, faults);
    let mut of = |folders: &[String], extensions: &[&str]| {
        let mut found = walk_all(root, folders, &ignore, faults);
        found.retain(|path| extensions.contains(&extension(path)));
        found
    };
    Listed {
        models: of(&paths.models, &["sql"]),
        seeds: of(&paths.seeds, &["csv"]),
        snapshots: of(&paths.snapshots, &["sql"]),
        flows: of(&[FLOWS.to_owned()], &["yml", "yaml"]),
    }
}

/// What is kept out.
fn ignore(root: &Path, faults: &mut Vec<Diagnostic>) -> Ignore {
    let ignored: Vec<String> = IGNORES
        .iter()
        .filter(|name| root.join(name).is_file())
        .filter_map(|name| read_text(root, Path::new(name), faults))
        .collect();
    Ignore::parse(&ignored.join("\n"))
}

/// The file of a flow, if it is not larger than one may be.
fn flow_file(root: &Path, path: PathBuf) -> Result<TextFile, Box<Diagnostic>> {
    let read = || {
        let mut file = fs::File::open(root.join(&path))?;
        let size = file.metadata().map_or(0, |found| found.len());
        if size > MAX_FLOW_BYTES {
            return Ok(Err(size));
        }
        let mut bytes = Vec::with_capacity(size as usize + 1);
        file.read_to_end(&mut bytes)?;
        Ok(Ok(bytes))
    };
    match read() {
        Ok(Ok(bytes)) => Ok(TextFile {
            text: text_of(&path, bytes)?,
            path,
        }),
        Ok(Err(size)) => Err(Box::new(
            Diagnostic::error(
                codes::FLOW_TOO_LARGE,
                format!("the file of a flow has {size} bytes, and may have {MAX_FLOW_BYTES}"),
            )
            .at(Place::file(path))
            .with_remedy("divide the flow, and keep SQL and data in files of their own"),
        )),
        Err(error) => Err(Box::new(unreadable(&path, &error))),
    }
}

/// The files of several folders. One that lies in another is read with it.
fn walk_all(root: &Path, folders: &[String], ignore: &Ignore, faults: &mut Vec<Diagnostic>) -> Vec<PathBuf> {
    let lies_in_another = |folder: &String| {
        let mut others = folders.iter().filter(|other| *other != folder);
        others.any(|other| Path::new(folder).starts_with(other))
    };
    let folders: BTreeSet<&String> = folders.iter().filter(|folder| !lies_in_another(folder)).collect();
    let found = folders
        .into_iter()
        .flat_map(|folder| walk(root, folder, ignore, faults));
    found.collect()
}

fn has_part(path: &Path, name: &str) -> bool {
    path.components().any(|part| part.as_os_str() == name)
}

fn extension(path: &Path) -> &str {
    path.extension()
        .and_then(|extension| extension.to_str())
        .unwrap_or_default()
}

fn text_file(root: &Path, path: PathBuf, faults: &mut Vec<Diagnostic>) -> Option<TextFile> {
    let text = read_text(root, &path, faults)?;
    Some(TextFile { path, text })
}

fn data_file(root: &Path, path: PathBuf, faults: &mut Vec<Diagnostic>) -> Option<DataFile> {
    let full = root.join(&path);
    match fs::read(&full).and_then(|bytes| Ok((bytes, fs::metadata(&full)?.modified()?))) {
        Ok((bytes, modified)) => Some(DataFile {
            path,
            bytes,
            modified_ns: modified
                .duration_since(std::time::UNIX_EPOCH)
                .map_or(0, |since| i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)),
        }),
        Err(error) => {
            faults.push(unreadable(&path, &error));
            None
        }
    }
}

/// The text of a file; where it cannot be read that is told.
pub(crate) fn read_text(root: &Path, path: &Path, faults: &mut Vec<Diagnostic>) -> Option<String> {
    let read = fs::read(root.join(path)).map_err(|error| Box::new(unreadable(path, &error)));
    match read.and_then(|bytes| text_of(path, bytes)) {
        Ok(text) => Some(text),
        Err(fault) => {
            faults.push(*fault);
            None
        }
    }
}

/// The text that a file's bytes are.
fn text_of(path: &Path, bytes: Vec<u8>) -> Result<String, Box<Diagnostic>> {
    match String::from_utf8(bytes) {
        // A byte order mark is no part of the text.
        Ok(text) => Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text)),
        Err(error) => {
            let valid = error.utf8_error().valid_up_to();
            let line = error.as_bytes()[..valid].split(|byte| *byte == b'\n').count();
            let place = Place {
                file: path.to_path_buf(),
                line: Some(line as u32),
                column: None,
            };
            Err(Box::new(
                Diagnostic::error(codes::FILE_UNREADABLE, "the file is not UTF-8 text")
                    .at(place)
                    .with_remedy("save the file as UTF-8"),
            ))
        }
    }
}

/// The fault of a file or folder that cannot be read.
pub(crate) fn unreadable(path: &Path, error: &std::io::Error) -> Diagnostic {
    Diagnostic::error(
        codes::FILE_UNREADABLE,
        format!("the file or folder cannot be read: {error}"),
    )
    .at(Place::file(path))
    .with_remedy("give the right to read it, or keep it out with `.mulgilignore`")
}

fn walk(root: &Path, folder: &str, ignore: &Ignore, faults: &mut Vec<Diagnostic>) -> Vec<PathBuf> {
    let top = root.join(folder);
    if !top.is_dir() || ignore.matches(folder, true) {
        return Vec::new();
    }
    let top = top.canonicalize().unwrap_or(top);
    let mut walk = Walk {
        root,
        ignore,
        visited: BTreeSet::from([top.clone()]),
        top,
        found: Vec::new(),
        faults,
    };
    walk.folder(folder, 0);
    walk.found
}

/// One walk through a folder and those in it.
struct Walk<'a> {
    root: &'a Path,
    ignore: &'a Ignore,
    /// Where it began, without links.
    top: PathBuf,
    /// Every folder that it went into, without links.
    visited: BTreeSet<PathBuf>,
    found: Vec<PathBuf>,
    faults: &'a mut Vec<Diagnostic>,
}

impl Walk<'_> {
    fn folder(&mut self, folder: &str, depth: usize) {
        if depth > MAX_DEPTH {
            return;
        }
        let entries = match fs::read_dir(self.root.join(folder)) {
            Ok(entries) => entries,
            Err(error) => return self.faults.push(unreadable(Path::new(folder), &error)),
        };
        let mut found: Vec<(String, DirEntry)> = entries
            .filter_map(Result::ok)
            .filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry)))
            .filter(|(name, _)| !name.starts_with('.'))
            .collect();
        found.sort_by(|(one, _), (other, _)| one.cmp(other));
        for (name, entry) in found {
            let path = format!("{folder}/{name}");
            let is_folder = self.is_folder(&path, &entry);
            if self.ignore.matches(&path, is_folder) {
                continue;
            }
            if !is_folder {
                self.found.push(PathBuf::from(path));
            } else if self.is_new(&path) {
                self.folder(&path, depth + 1);
            }
        }
    }

    /// Whether it is a folder, or a link to one.
    fn is_folder(&self, path: &str, entry: &DirEntry) -> bool {
        match entry.file_type() {
            // Most of what is there is said without another look at the disk.
            Ok(kind) if !kind.is_symlink() => kind.is_dir(),
            Ok(_) | Err(_) => self.root.join(path).is_dir(),
        }
    }

    /// Whether a folder was not read yet. A link to one that is read anyway is a fault: its files
    /// would be there twice, and a link to a folder around it would never end.
    fn is_new(&mut self, path: &str) -> bool {
        let full = self.root.join(path);
        let real = match full.canonicalize() {
            Ok(real) => real,
            Err(error) => {
                self.faults.push(unreadable(Path::new(path), &error));
                return false;
            }
        };
        let leads_back = full.is_symlink() && (real.starts_with(&self.top) || self.top.starts_with(&real));
        if !leads_back && self.visited.insert(real.clone()) {
            return true;
        }
        let target = real
            .strip_prefix(self.root.canonicalize().unwrap_or_default())
            .unwrap_or(&real);
        let target = if target.as_os_str().is_empty() {
            Path::new(".")
        } else {
            target
        };
        self.faults.push(
            Diagnostic::error(
                codes::FILE_UNREADABLE,
                format!(
                    "the folder is a link to `{}`, whose files are read already",
                    target.display()
                ),
            )
            .at(Place::file(path))
            .with_remedy("remove the link, or keep it out with `.mulgilignore`"),
        );
        false
    }
}
