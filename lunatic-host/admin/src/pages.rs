//! The files of the dashboard, as they are in `dashboard/`: nothing is generated from them, and nothing is fetched from
//! elsewhere.

use bytes::Bytes;
use http::Response;
use http_body_util::Full;

use crate::answer;

/// A file for the browser.
pub(crate) struct Page {
    path: &'static str,
    kind: &'static str,
    bytes: &'static [u8],
}

impl Page {
    pub(crate) fn answer(&self) -> Response<Full<Bytes>> {
        answer::with_type(http::StatusCode::OK, self.kind, Bytes::from_static(self.bytes))
    }
}

/// The file at a path.
pub(crate) fn find(path: &str) -> Option<&'static Page> {
    let path = if path == "/" { "/index.html" } else { path };
    PAGES.iter().find(|page| page.path == path)
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const IMAGE: &str = "image/svg+xml";

macro_rules! pages {
    ($($kind:ident: $($path:literal)*;)*) => {
        &[$($(Page {
            path: concat!("/", $path),
            kind: $kind,
            bytes: include_bytes!(concat!("../dashboard/", $path)),
        },)*)*]
    };
}

const PAGES: &[Page] = pages! {
    HTML: "index.html";
    CSS: "style.css" "vendor/uPlot.min.css";
    SCRIPT: "alarms.js" "app.js" "api.js" "charts.js" "confirm.js" "crashes.js" "dom.js" "format.js" "history.js" "poll.js"
        "table.js" "token.js" "vendor/uPlot.iife.min.js"
        "views/crashes.js" "views/lists.js" "views/overview.js" "views/process.js" "views/processes.js" "views/trace.js" "views/tree.js"
        "views/versions.js";
    IMAGE: "icon.svg";
};

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;

    fn files(folder: &Path, list: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                files(&path, list);
            } else {
                list.push(path);
            }
        }
    }

    #[test]
    fn all_files_of_the_folder_are_served() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("dashboard");
        let mut list = Vec::new();
        files(&folder, &mut list);
        let mut served = 0;
        for file in list {
            let name = file.strip_prefix(&folder).unwrap().to_str().unwrap();
            // What is for readers of the source.
            if name.ends_with(".md") || name.ends_with("LICENSE") {
                continue;
            }
            let page = find(&format!("/{name}")).unwrap_or_else(|| panic!("{name} is not served"));
            assert_eq!(page.bytes, fs::read(&file).unwrap(), "{name}");
            served += 1;
        }
        assert_eq!(served, PAGES.len());
        assert!(find("/").is_some_and(|page| page.kind == HTML));
        for path in ["", "/..", "/vendor", "/vendor/LICENSE", "//app.js", "/App.js"] {
            assert!(find(path).is_none(), "{path}");
        }
    }
}
