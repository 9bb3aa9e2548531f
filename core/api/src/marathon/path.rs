//! Ids as paths: absolute, relative, with `..`; which are allowed. Pure text.

const RESERVED: [&str; 5] = ["restart", "tasks", "versions", ".", ".."];
const SEGMENT: &str =
    "^(([a-z0-9]|[a-z0-9][a-z0-9\\-]*[a-z0-9])\\.)*([a-z0-9]|[a-z0-9][a-z0-9\\-]*[a-z0-9])|(\\.|\\.\\.)$";

fn segment(text: &str) -> bool {
    let label = |l: &str| {
        let inner = l.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
        !l.is_empty() && inner && !l.starts_with('-') && !l.ends_with('-')
    };
    text == "." || text == ".." || text.split('.').all(label)
}

/// Whether a text can be a path at all: slashes anywhere between segments.
pub(super) fn is_path(text: &str) -> bool {
    !text.is_empty() && text.split('/').filter(|s| !s.is_empty()).all(segment)
}

/// An id made absolute: relative to `base`, without `.`, `..`, doubled and closing slashes.
pub fn canonical(id: &str, base: &str) -> String {
    let from = if id.starts_with('/') { "" } else { base };
    let mut parts: Vec<&str> = Vec::new();
    for part in from.split('/').chain(id.split('/')) {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// The group that an app, pod or group is in; the root is in itself.
pub fn parent(id: &str) -> &str {
    match id.rfind('/') {
        Some(0) | None => "/",
        Some(at) => &id[..at],
    }
}

/// All groups that an id is in, the nearest first, the root last.
pub fn parents(id: &str) -> impl Iterator<Item = &str> {
    let above = |id: &'_ str| -> Option<usize> { (id != "/").then(|| parent(id).len()) };
    std::iter::successors(above(id).map(|end| if end == 1 { "/" } else { &id[..end] }), move |at| {
        above(at).map(|end| if end == 1 { "/" } else { &id[..end] })
    })
}

/// Whether an id lies in a group, at any depth.
pub fn is_below(id: &str, group: &str) -> bool {
    id != "/" && (group == "/" || id.strip_prefix(group).is_some_and(|rest| rest.starts_with('/')))
}

/// The name of the top-level group that an id is in, if it is in one.
pub fn top_level(id: &str) -> Option<&str> {
    let (first, rest) = id.trim_start_matches('/').split_once('/')?;
    (!first.is_empty() && !rest.is_empty()).then_some(first)
}

/// Longest id; it becomes part of keys in the store. Marathon names no bound.
const ID_BYTES_MAX: usize = 1024;

/// Names in an id, and so groups in each other: what is listed as a tree must be read again by those who bound theirs (JSON of
/// 128 levels).
pub(super) const SEGMENTS_MAX: usize = 50;

/// What is wrong with an absolute id of an app, a pod or a group other than the root; none = nothing.
pub fn app_id(id: &str) -> Option<String> {
    if id.len() > ID_BYTES_MAX {
        return Some(format!(
            "has {} bytes, must not have more than {ID_BYTES_MAX} (ID_BYTES_MAX)",
            id.len()
        ));
    }
    let segments: Vec<_> = id.trim_start_matches('/').split('/').collect();
    if segments == [""] {
        return Some("must not be root".to_owned());
    }
    if segments.len() > SEGMENTS_MAX {
        return Some(format!(
            "has {} segments, must not have more than {SEGMENTS_MAX} (SEGMENTS_MAX)",
            segments.len()
        ));
    }
    if segments.last().is_some_and(|last| RESERVED.contains(last)) {
        return Some(format!(
            "must not end with any of the following reserved keywords: {}",
            RESERVED.join(", ")
        ));
    }
    let right = segments.iter().all(|s| segment(s));
    (!right).then(|| format!("must fully match regular expression '{SEGMENT}'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_no_deeper_than_trees_are_read() {
        let deep = |segments| app_id(&"/a".repeat(segments));
        assert_eq!(deep(SEGMENTS_MAX), None);
        assert!(deep(SEGMENTS_MAX + 1).unwrap().contains("must not have more than 50 (SEGMENTS_MAX)"));
    }

    #[test]
    fn ids() {
        for (id, base, absolute) in [
            ("a", "/", "/a"),
            ("a/b", "/g", "/g/a/b"),
            ("/a//b/", "/g", "/a/b"),
            ("../c", "/g/h", "/g/c"),
            ("../../../c", "/g", "/c"),
            ("/", "/g", "/"),
            ("", "/", "/"),
        ] {
            assert_eq!(canonical(id, base), absolute, "{id} in {base}");
        }
        assert_eq!((parent("/a/b"), parent("/a"), parent("/")), ("/a", "/", "/"));
        assert_eq!(parents("/a/b/c").collect::<Vec<_>>(), ["/a/b", "/a", "/"]);
        assert_eq!((top_level("/a/b"), top_level("/a"), top_level("/")), (Some("a"), None, None));
        assert!(
            is_below("/a/b", "/a") && is_below("/a", "/") && !is_below("/ab", "/a") && !is_below("/", "/")
        );
        assert!(is_path("../a") && is_path("/") && !is_path("/A") && !is_path("a b") && !is_path("-a"));
        assert_eq!(app_id("/a.b/c-d"), None);
        for bad in ["/", "/a/restart", "/a/-b", "/a..b", "/a/.."] {
            assert!(app_id(bad).is_some(), "{bad}");
        }
    }
}
