//! Files that may be read: which names there are for them, what is asked of them, how the answer is said.
//!
//! Never opens one: the shell does, within the root that is named here. Order of checks and texts:
//! apache/mesos@c1b42f79:src/files/files.cpp.

use crate::{
    Perform, Routed, Said,
    answer::{bad_request, json_text, not_found, parameter, render},
    mime, nouns, operator,
};
use bytes::Bytes;
use http::{HeaderValue, Response, header};
use model::{
    mesos::{FileInfo, TimeInfo, agent, master},
    request::Answer,
};

/// Most bytes of one read: 16 pages.
pub const READ_BYTES_MAX: u64 = 65_536;

/// A name and the path that it stands for.
pub type Attached = (String, String);

/// What is asked of a file or a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// What is in it.
    Browse,
    /// Part of it.
    Read {
        /// Where it begins; none = only its size is asked for.
        offset: Option<u64>,
        /// At most this many bytes.
        length: u64,
    },
    /// All of it.
    Download,
}

/// A request for a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// What is asked.
    pub what: What,
    /// The path as it was asked for.
    pub shown: String,
    /// The path that the name stands for: nothing outside of it may be read.
    pub root: String,
    /// What follows the name.
    pub rest: String,
    /// Who asks.
    role: Role,
    said: Said,
}

/// Whose operator API it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The master's.
    Master,
    /// The agent's.
    Agent,
}

/// One entry of a directory.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Links to it.
    pub nlink: u64,
    /// Bytes.
    pub size: u64,
    /// Nanoseconds since 1970.
    pub mtime_ns: i64,
    /// Type and rights, as the system numbers them.
    pub mode: u32,
    /// Owner.
    pub uid: String,
    /// Group.
    pub gid: String,
}

/// What the shell found.
#[derive(Clone, Debug)]
pub enum Found {
    /// A directory's entries by name; of a file none.
    Entries(Vec<Entry>),
    /// Part of a file, and the size of all of it.
    Part {
        /// The bytes.
        data: Vec<u8>,
        /// The size.
        size: u64,
    },
    /// All of a file.
    Whole {
        /// The last part of its path.
        name: String,
        /// The bytes.
        data: Vec<u8>,
    },
    /// There is no such thing.
    Missing,
    /// It is a directory, which was not asked for.
    Directory,
    /// It lies elsewhere than its name says.
    Outside(String),
    /// The system refuses.
    Failed(String),
}

/// `/files/{browse,read,download,debug}`. `attached` are the names that there are.
pub(crate) fn route<I>(
    name: &str,
    query: Option<&str>,
    role: Role,
    attached: &[Attached],
) -> Routed<I, Perform> {
    let refuse = |why: String| Routed::Respond(bad_request(why));
    if name == "debug" {
        let text = nouns::object(|w| {
            for (shown, real) in attached {
                nouns::text(w, shown, real);
            }
        });
        return Routed::Respond(json_text(text, query));
    }
    let Some(asked) = parameter(query, "path").filter(|p| !p.is_empty()) else {
        return refuse("Expecting 'path=value' in query.\n".to_owned());
    };
    let what = match name {
        "browse" => What::Browse,
        "download" => What::Download,
        _ => match part(query) {
            Ok(what) => what,
            Err(why) => return refuse(why),
        },
    };
    ask(what, asked, role, Said::V0(query.map(str::to_owned)), attached)
}

fn part(query: Option<&str>) -> Result<What, String> {
    let number = |name: &str| match parameter(query, name) {
        None => Ok(None),
        Some(text) => match text.parse::<i64>() {
            Err(_) => Err(format!("Failed to parse {name}: Failed to convert '{text}' to number.\n")),
            Ok(number) if number < -1 => Err(format!("Negative {name} provided: {number}.\n")),
            Ok(number) => Ok(u64::try_from(number).ok()),
        },
    };
    let offset = number("offset")?;
    let length = number("length")?.unwrap_or(READ_BYTES_MAX);
    Ok(What::Read { offset, length: length.min(READ_BYTES_MAX) })
}

/// What `name` stands for: the longest attached name that the path begins with.
pub(crate) fn ask<I>(
    what: What,
    asked: String,
    role: Role,
    said: Said,
    attached: &[Attached],
) -> Routed<I, Perform> {
    let asked = asked.strip_suffix('/').unwrap_or(&asked).to_owned();
    let below = |name: &str| {
        let rest = asked.strip_prefix(name)?;
        (rest.is_empty() || rest.starts_with('/')).then(|| rest.trim_start_matches('/').to_owned())
    };
    let found = attached.iter().filter_map(|(name, real)| Some((name, real, below(name)?)));
    match found.max_by_key(|(name, ..)| name.len()) {
        Some((_, real, rest)) => {
            let root = real.clone();
            Routed::Perform(Perform::Files(Ask { what, shown: asked, root, rest, role, said }))
        }
        None => Routed::Respond(missing(&what, &said)),
    }
}

fn missing(what: &What, said: &Said) -> Response<Bytes> {
    match (what, said) {
        (What::Download, Said::V0(_)) => not_found(),
        _ => render(Answer::text(404, "")),
    }
}

/// Says what was found.
pub fn render_found(ask: &Ask, found: Found) -> Response<Bytes> {
    match found {
        Found::Entries(entries) => listing(ask, &entries),
        Found::Part { data, size } => read(ask, &data, size),
        Found::Whole { name, data } => whole(&name, data),
        Found::Missing => missing(&ask.what, &ask.said),
        Found::Directory if ask.what == What::Download => bad_request("Cannot download a directory.\n"),
        Found::Directory => bad_request("Cannot read a directory.\n"),
        Found::Outside(path) => bad_request(format!("'{path}' is inaccessible.\n")),
        Found::Failed(why) => render(Answer::text(500, format!("{why}.\n"))),
    }
}

fn whole(name: &str, data: Vec<u8>) -> Response<Bytes> {
    download(name, Bytes::from(data))
}

/// The head of a download of so many bytes, which follow.
pub fn head_of_download(name: &str, size: u64) -> Response<()> {
    let mut response = download(name, ());
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(size));
    response
}

fn download<B>(name: &str, body: B) -> Response<B> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(mime::of(name)));
    if let Ok(value) = HeaderValue::try_from(format!("attachment; filename={name}")) {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    response
}

fn listing(ask: &Ask, entries: &[Entry]) -> Response<Bytes> {
    let info = |entry: &Entry| FileInfo {
        path: format!("{}/{}", ask.shown, entry.name),
        nlink: i32::try_from(entry.nlink).ok(),
        size: Some(entry.size),
        mtime: Some(TimeInfo { nanoseconds: entry.mtime_ns }),
        mode: Some(entry.mode),
        uid: Some(entry.uid.clone()),
        gid: Some(entry.gid.clone()),
    };
    let infos: Vec<_> = entries.iter().map(info).collect();
    let codec = match &ask.said {
        Said::V1(codec) => *codec,
        Said::V0(query) => {
            let mut w = api::json::Writer::default();
            w.list();
            for info in &infos {
                w.item();
                w.open();
                nouns::text(&mut w, "path", &info.path);
                w.key("nlink");
                w.integer(i128::from(info.nlink()));
                w.key("size");
                w.integer(i128::from(info.size()));
                nouns::number(
                    &mut w,
                    "mtime",
                    (info.mtime.map_or(0, |t| t.nanoseconds) / 1_000_000_000) as f64,
                );
                nouns::text(&mut w, "mode", &mode(info.mode()));
                nouns::text(&mut w, "uid", info.uid());
                nouns::text(&mut w, "gid", info.gid());
                w.close();
            }
            w.end();
            return json_text(w.finish(), query.as_deref());
        }
    };
    match ask.role {
        Role::Master => {
            use master::response::{ListFiles, Type};
            let list_files = Some(ListFiles { file_infos: infos });
            let answer = master::Response { list_files, ..Default::default() };
            operator::respond(&operator::of_master(Type::ListFiles, answer), codec)
        }
        Role::Agent => {
            use agent::response::{ListFiles, Type};
            let list_files = Some(ListFiles { file_infos: infos });
            let answer = agent::Response { list_files, ..Default::default() };
            operator::respond(&operator::of_agent(Type::ListFiles, answer), codec)
        }
    }
}

fn read(ask: &Ask, data: &[u8], size: u64) -> Response<Bytes> {
    match (&ask.said, ask.role) {
        (Said::V0(query), _) => {
            let offset = match ask.what {
                What::Read { offset: Some(offset), .. } => offset,
                _ => size,
            };
            let text = nouns::object(|w| {
                nouns::text(w, "data", &String::from_utf8_lossy(data));
                w.key("offset");
                w.integer(i128::from(offset));
            });
            json_text(text, query.as_deref())
        }
        (Said::V1(codec), Role::Master) => {
            use master::response::{ReadFile, Type};
            let read_file = Some(ReadFile { size, data: data.to_vec() });
            let answer = master::Response { read_file, ..Default::default() };
            operator::respond(&operator::of_master(Type::ReadFile, answer), *codec)
        }
        (Said::V1(codec), Role::Agent) => {
            use agent::response::{ReadFile, Type};
            let read_file = Some(ReadFile { size, data: data.to_vec() });
            let answer = agent::Response { read_file, ..Default::default() };
            operator::respond(&operator::of_agent(Type::ReadFile, answer), *codec)
        }
    }
}

/// As `ls -l` shows it, but for the set-id and sticky bits, which upstream does not print.
fn mode(bits: u32) -> String {
    let kind = match bits & 0o170_000 {
        0o140_000 => 's',
        0o120_000 => 'l',
        0o060_000 => 'b',
        0o040_000 => 'd',
        0o020_000 => 'c',
        0o010_000 => 'p',
        _ => '-',
    };
    let mut text = String::from(kind);
    let rights = "rwxrwxrwx".chars().enumerate();
    text.extend(rights.map(|(at, letter)| if bits & (0o400 >> at) != 0 { letter } else { '-' }));
    text
}

/// The system's answer to a path below a root: `Outside` unless it lies there. Both are whole and without links.
pub fn within(root: &str, real: &str) -> bool {
    real.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attached() -> Vec<Attached> {
        vec![("/a".into(), "/real/a".into()), ("/a/b".into(), "/real/b".into())]
    }

    fn asked(query: &str, name: &str) -> Result<Ask, (u16, String)> {
        match route::<()>(name, Some(query), Role::Agent, &attached()) {
            Routed::Perform(Perform::Files(ask)) => Ok(ask),
            Routed::Respond(r) => Err((r.status().as_u16(), String::from_utf8_lossy(r.body()).into_owned())),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_longest_name_stands_for_the_path() {
        let ask = asked("path=/a/b/c/d/", "browse").unwrap();
        assert_eq!(
            (ask.root.as_str(), ask.rest.as_str(), ask.shown.as_str()),
            ("/real/b", "c/d", "/a/b/c/d")
        );
        assert_eq!(asked("path=/a", "browse").unwrap().root, "/real/a");
        assert_eq!(asked("path=/ab", "browse").unwrap_err(), (404, String::new()));
        assert_eq!(asked("path=/", "download").unwrap_err(), (404, "404 Not Found.".to_owned()));
        assert_eq!(asked("path=", "read").unwrap_err().1, "Expecting 'path=value' in query.\n");
        assert!(within("/r", "/r/x") && within("/r", "/r") && !within("/r", "/rx"));
    }

    #[test]
    fn parts_are_checked_as_upstream_does() {
        let read = |query: &str| asked(&format!("path=/a&{query}"), "read").map(|ask| ask.what);
        assert_eq!(read("offset=3&length=4"), Ok(What::Read { offset: Some(3), length: 4 }));
        assert_eq!(read("offset=-1"), Ok(What::Read { offset: None, length: READ_BYTES_MAX }));
        assert_eq!(
            read("offset=0&length=9999999"),
            Ok(What::Read { offset: Some(0), length: READ_BYTES_MAX })
        );
        for (query, why) in [
            ("offset=x", "Failed to parse offset: Failed to convert 'x' to number.\n"),
            ("offset=-2", "Negative offset provided: -2.\n"),
            ("offset=0&length=y", "Failed to parse length: Failed to convert 'y' to number.\n"),
            ("offset=0&length=-5", "Negative length provided: -5.\n"),
        ] {
            assert_eq!(read(query), Err((400, why.to_owned())), "{query}");
        }
    }

    #[test]
    fn modes_are_printed_as_upstream_does() {
        for (bits, text) in [
            (0o100_644, "-rw-r--r--"),
            (0o040_755, "drwxr-xr-x"),
            (0o010_644, "prw-r--r--"),
            (0o104_755, "-rwxr-xr-x"),
            (0o041_777, "drwxrwxrwx"),
        ] {
            assert_eq!(mode(bits), text);
        }
    }
}
