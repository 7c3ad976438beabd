//! Packs the example project into the program, so that `mulgil demo` needs nothing else.

use std::{
    env,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

fn main() {
    let manifest = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    let example = manifest.join("../../examples/flights");
    println!("cargo:rerun-if-changed={}", example.display());
    let mut files = Vec::new();
    collect(&example, &mut files);
    files.sort();
    let mut text = String::from(
        "/// Path inside the project and bytes of every file.\npub(crate) const FILES: &[(&str, &[u8])] = &[\n",
    );
    for file in files {
        let name = file
            .strip_prefix(&example)
            .expect("it lies inside")
            .to_string_lossy()
            .replace('\\', "/");
        let path = file.canonicalize().expect("it was just listed");
        writeln!(
            text,
            "    ({name:?}, include_bytes!({:?})),",
            path.display().to_string()
        )
        .expect("writing to a string");
    }
    text.push_str("];\n");
    fs::write(out.join("example.rs"), text).expect("cargo's own folder can be written");
}

/// The project's own files: what it was checked against and what runs of it left are not part of it.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    const LEFT_OUT: [&str; 5] = [".mulgil", "warehouse", "expected", "split.py", "__pycache__"];
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for entry in entries {
        let path = entry.expect("a folder that is being listed").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if LEFT_OUT.contains(&name.as_str()) {
            continue;
        }
        if path.is_dir() {
            collect(&path, files);
        } else {
            files.push(path);
        }
    }
}
