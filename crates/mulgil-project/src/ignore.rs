//! `.mulgilignore`: which files are left alone, in the words of `.gitignore`.

/// The patterns of one `.mulgilignore`, in order; the last one that matches decides.
#[derive(Debug, Default)]
pub(crate) struct Ignore(Vec<Pattern>);

#[derive(Debug)]
struct Pattern {
    segments: Vec<String>,
    keeps: bool,
    folders_only: bool,
    anchored: bool,
}

impl Ignore {
    /// Reads the file's text.
    pub(crate) fn parse(text: &str) -> Self {
        Self(
            text.lines()
                .map(str::trim_end)
                .filter(|line| !line.is_empty() && !line.starts_with('#'))
                .map(Pattern::parse)
                .collect(),
        )
    }

    /// Whether a path (from the project folder, with `/`) is left alone. The folders above it are
    /// asked before, so that a left folder keeps out all that lies in it.
    pub(crate) fn matches(&self, path: &str, is_folder: bool) -> bool {
        let parts: Vec<&str> = path.split('/').collect();
        self.0
            .iter()
            .rev()
            .find(|pattern| pattern.matches(&parts, is_folder))
            .is_some_and(|pattern| !pattern.keeps)
    }
}

impl Pattern {
    fn parse(line: &str) -> Self {
        let (keeps, line) = line.strip_prefix('!').map_or((false, line), |rest| (true, rest));
        let (folders_only, line) = line.strip_suffix('/').map_or((false, line), |rest| (true, rest));
        Self {
            anchored: line.contains('/'),
            segments: line.trim_start_matches('/').split('/').map(str::to_owned).collect(),
            keeps,
            folders_only,
        }
    }

    fn matches(&self, path: &[&str], is_folder: bool) -> bool {
        if self.folders_only && !is_folder {
            return false;
        }
        if self.anchored {
            return segments_match(&self.segments, path);
        }
        path.last()
            .is_some_and(|name| segments_match(&self.segments, std::slice::from_ref(name)))
    }
}

fn segments_match(pattern: &[String], path: &[&str]) -> bool {
    match (pattern.split_first(), path.split_first()) {
        (None, None) => true,
        (Some((first, rest)), _) if first == "**" => {
            segments_match(rest, path)
                || path
                    .split_first()
                    .is_some_and(|(_, below)| segments_match(pattern, below))
        }
        (Some((first, rest)), Some((name, below))) => {
            let (glob, name): (Vec<char>, Vec<char>) = (first.chars().collect(), name.chars().collect());
            glob_matches(&glob, &name) && segments_match(rest, below)
        }
        (Some(_), None) | (None, Some(_)) => false,
    }
}

/// `*` any letters, `?` one; with a single place to return to, so that no pattern takes more than
/// the product of the two lengths.
fn glob_matches(glob: &[char], name: &[char]) -> bool {
    let (mut at, mut star, mut resume) = (0, None, 0);
    let mut letter = 0;
    while letter < name.len() {
        match glob.get(at) {
            Some('*') => {
                star = Some(at);
                resume = letter;
                at += 1;
            }
            Some(&wanted) if wanted == '?' || wanted == name[letter] => {
                at += 1;
                letter += 1;
            }
            _ => match star {
                Some(back) => {
                    resume += 1;
                    letter = resume;
                    at = back + 1;
                }
                None => return false,
            },
        }
    }
    glob[at..].iter().all(|rest| *rest == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_mean_what_they_mean_to_git() {
        let ignore = Ignore::parse("# old\n*.bak.sql\n/models/old\ndrafts/\nmodels/**/tmp_?.sql\n!keep.bak.sql\n");
        for (path, is_folder, left) in [
            ("models/a.sql", false, false),
            ("models/x/a.bak.sql", false, true),
            ("models/x/keep.bak.sql", false, false),
            ("models/old", true, true),
            ("macros/models/old", true, false),
            ("models/drafts", true, true),
            ("models/drafts", false, false),
            ("models/a/b/tmp_1.sql", false, true),
            ("models/tmp_1.sql", false, true),
            ("models/tmp_12.sql", false, false),
        ] {
            assert_eq!(ignore.matches(path, is_folder), left, "{path}");
        }
    }
}
