//! Every address of CircleCI's, built in one place: the roots of its API, its path segments percent-encoded, its web
//! pages. Knows nothing of requests.

use std::fmt::Write as _;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Url;
use uuid::Uuid;

use super::Project;
use super::access::{Access, CIRCLECI_URL};
use crate::invalid::Invalid;

/// Everything but the characters that RFC 3986 calls unreserved.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// The web pages of CircleCI's own service.
const PAGES: &str = "https://app.circleci.com";

/// The longest link that is passed on, in bytes. CircleCI's pages have addresses of about 100.
const LINK_BYTES_MAX: usize = 512;

/// The longest address of an output, in bytes: presigned ones have up to some 2,000.
const OUTPUT_URL_BYTES_MAX: usize = 8 * 1024;

/// The generations of the API that are spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    V1,
    V2,
    /// The cloud's alone.
    V3,
}

/// The root that all addresses begin with.
#[derive(Debug, Clone)]
pub(super) struct Root(Url);

impl Root {
    /// Reads `CIRCLECI_URL`.
    pub(super) fn parse(text: &str) -> Result<Self, Invalid> {
        let invalid = |why: &'static str| Invalid::new("CIRCLECI_URL", why, CIRCLECI_URL);
        let url = Url::parse(text.trim()).map_err(|_| invalid("CIRCLECI_URL is not the address of a web site."))?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(invalid("CIRCLECI_URL must begin with https:// or http:// and name a host."));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(invalid(
                "CIRCLECI_URL must not hold a user name or password; tokens have settings of their own.",
            ));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(invalid("CIRCLECI_URL must not hold a `?` or `#`."));
        }
        Ok(Self(url))
    }

    /// An address of the API.
    pub(super) fn api(&self, version: Version, segments: &[&str], query: &[(&str, &str)]) -> Url {
        let mut path = self.path().to_owned();
        path.push_str(match version {
            Version::V1 => "/api/v1.1",
            Version::V2 => "/api/v2",
            Version::V3 => "/api/v3",
        });
        for segment in segments {
            // The URL standard resolves dots even when they are percent-encoded, so they may never come this far.
            debug_assert!(!matches!(*segment, "" | "." | ".."), "a path segment that would change the path");
            path.push('/');
            path.extend(utf8_percent_encode(segment, SEGMENT));
        }
        let mut url = self.0.clone();
        url.set_path(&path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    /// The page of a pipeline, as CircleCI's webhooks link it (outbound-webhooks-reference), without the workflow.
    pub(super) fn pipeline_page(&self, slug: &Slug, number: i64) -> String {
        let mut page = if self.is_circleci() {
            PAGES.to_owned()
        } else {
            format!("{}{}", self.0.origin().ascii_serialization(), self.path())
        };
        page.push_str("/pipelines");
        for segment in slug.segments() {
            page.push('/');
            page.extend(utf8_percent_encode(segment, SEGMENT));
        }
        write!(page, "/{number}").expect("writing to a string cannot fail");
        page
    }

    /// The page of a workflow of that pipeline.
    pub(super) fn workflow_page(&self, slug: &Slug, number: i64, workflow: Uuid) -> String {
        format!("{}/workflows/{workflow}", self.pipeline_page(slug, number))
    }

    /// The page of a job of that workflow.
    pub(super) fn job_page(&self, slug: &Slug, number: i64, workflow: Uuid, job: i64) -> String {
        format!("{}/jobs/{job}", self.workflow_page(slug, number, workflow))
    }

    /// `text` as the address of a step's output, which is fetched without any token: https, or this root's own host.
    pub(super) fn output(&self, text: &str) -> Option<Url> {
        let url = Url::parse(text).ok().filter(|_| text.len() <= OUTPUT_URL_BYTES_MAX)?;
        let bare = url.username().is_empty() && url.password().is_none() && url.host_str().is_some();
        let ours = url.origin() == self.0.origin();
        (bare && (url.scheme() == "https" || ours)).then_some(url)
    }

    /// Whether this is the machine itself, which no proxy can reach for us.
    pub(super) fn is_loopback(&self) -> bool {
        self.0.host_str().is_some_and(|host| {
            host == "localhost"
                || host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        })
    }

    /// Whether this is CircleCI's own service, and no server.
    pub(super) fn is_circleci(&self) -> bool {
        matches!(self.0.host_str(), Some("circleci.com" | "app.circleci.com" | "api.circleci.com"))
    }

    fn path(&self) -> &str {
        self.0.path().trim_end_matches('/')
    }
}

/// A project as API v2 and the web pages address it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Slug {
    provider: &'static str,
    org: String,
    project: String,
}

impl Slug {
    /// The slug of `project`; `None` when the one it was given is not of the form `circleci/<org>/<project>`.
    pub(super) fn of(project: &Project) -> Option<Self> {
        let Some(slug) = &project.slug else {
            let (org, repo) = (project.repo.org().to_owned(), project.repo.repo().to_owned());
            return Some(Self { provider: project.vcs.as_str(), org, project: repo });
        };
        let mut segments = slug.split('/');
        let (provider, org, name) = (segments.next()?, segments.next()?, segments.next()?);
        let provider = match provider {
            "gh" | "github" => "github",
            "bb" | "bitbucket" => "bitbucket",
            "circleci" => "circleci",
            _ => return None,
        };
        let legal = |segment: &str| !matches!(segment, "" | "." | "..") && segment.len() <= 100;
        if segments.next().is_some() || !legal(org) || !legal(name) {
            return None;
        }
        Some(Self { provider, org: org.to_owned(), project: name.to_owned() })
    }

    /// Whether it is the opaque one of a project that API v1.1 doesn't know.
    pub(super) fn is_opaque(&self) -> bool {
        self.provider == "circleci"
    }

    /// Its three parts, with the provider's long name.
    pub(super) fn segments(&self) -> [&str; 3] {
        [self.provider, &self.org, &self.project]
    }
}

/// `text` as a link that may be shown: http or https, of reasonable length, without any credential.
pub(super) fn link(text: &str, access: &Access) -> Option<String> {
    if text.len() > LINK_BYTES_MAX {
        return None;
    }
    let url = Url::parse(text).ok()?;
    let fit = matches!(url.scheme(), "http" | "https")
        && url.username().is_empty()
        && url.password().is_none()
        && url.as_str().len() <= LINK_BYTES_MAX
        && !access.is_in(text)
        && !access.is_in(url.as_str());
    fit.then(|| url.into())
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;
    use crate::repo::{Branch, Vcs};

    fn project(slug: Option<&str>) -> Project {
        let repo = "acme/web".parse().unwrap();
        Project { vcs: Vcs::Bitbucket, repo, slug: slug.map(str::to_owned), token_name: None }
    }

    fn access() -> Access {
        let user_token = "s3cr3t".to_owned().into();
        Access { url: CIRCLECI_URL.to_owned(), user_token, project_token: None, project_tokens: HashMap::new() }
    }

    #[test]
    fn every_segment_is_percent_encoded() {
        let root = Root::parse("https://ci.example.com/sub/").unwrap();
        let url = root.api(Version::V1, &["project", "a#b?c%", "feature/x", "ümlaut"], &[("page", "a b&c")]);
        assert_eq!(
            url.as_str(),
            "https://ci.example.com/sub/api/v1.1/project/a%23b%3Fc%25/feature%2Fx/%C3%BCmlaut?page=a+b%26c"
        );
    }

    #[test]
    fn pages_of_pipelines_are_on_the_app_or_on_ones_own_host() {
        let ours = Slug::of(&project(None)).unwrap();
        let opaque = Slug::of(&project(Some("circleci/43G3/44n9"))).unwrap();
        let cloud = Root::parse(CIRCLECI_URL).unwrap();
        let server = Root::parse("http://ci.example.com:8080/").unwrap();
        assert_eq!(cloud.pipeline_page(&ours, 7), "https://app.circleci.com/pipelines/bitbucket/acme/web/7");
        assert_eq!(cloud.pipeline_page(&opaque, 7), "https://app.circleci.com/pipelines/circleci/43G3/44n9/7");
        assert_eq!(server.pipeline_page(&ours, 7), "http://ci.example.com:8080/pipelines/bitbucket/acme/web/7");
    }

    #[test]
    fn an_output_is_fetched_over_https_or_from_ones_own_host() {
        let cloud = Root::parse(CIRCLECI_URL).unwrap();
        let server = Root::parse("http://ci.example.com:8080/").unwrap();
        let signed = "https://bucket.s3.amazonaws.com/x?X-Amz-Signature=1";
        assert_eq!(cloud.output(signed).unwrap().as_str(), signed);
        assert!(server.output(signed).is_some());
        assert!(server.output("http://ci.example.com:8080/x").is_some());
        for bad in ["http://bucket.example.com/x", "file:///etc/passwd", "http://ci.example.com/x", "https://a:b@x/"] {
            assert!(server.output(bad).is_none(), "{bad}");
        }
        assert!(cloud.output("http://169.254.169.254/latest").is_none());
    }

    #[test]
    fn an_odd_slug_or_root_is_refused() {
        for bad in ["", "circleci", "circleci/a", "circleci/../b", "circleci/a/b/c", "gitlab/a/b", "circleci//b"] {
            assert_eq!(Slug::of(&project(Some(bad))), None, "{bad}");
        }
        for bad in ["", "circleci.com", "ftp://x", "https://a:b@x", "https://x/?circle-token=1", "https://x/#a"] {
            assert!(Root::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_a_harmless_link_is_shown() {
        assert_eq!(
            link("https://circleci.com/gh/acme/web/7", &access()).unwrap(),
            "https://circleci.com/gh/acme/web/7"
        );
        for bad in [
            "javascript:alert(1)",
            "ftp://x/y",
            "/gh/acme/web/7",
            "https://user:pw@circleci.com/x",
            "https://circleci.com/x?circle-token=s3cr3t",
        ] {
            assert_eq!(link(bad, &access()), None, "{bad}");
        }
        assert_eq!(link(&format!("https://x/{}", "a".repeat(600)), &access()), None);
    }

    proptest! {
        #[test]
        fn no_branch_leaves_its_segment(name in "[^\\x00-\\x20]{1,40}") {
            if let Ok(branch) = name.parse::<Branch>() {
                let url = Root::parse(CIRCLECI_URL).unwrap().api(Version::V1, &["tree", branch.as_str()], &[]);
                let segments: Vec<_> = url.path_segments().unwrap().collect();
                prop_assert_eq!(&segments[..3], ["api", "v1.1", "tree"]);
                prop_assert_eq!(segments.len(), 4);
                let decoded = percent_encoding::percent_decode_str(segments[3]).decode_utf8().unwrap();
                prop_assert_eq!(decoded, branch.as_str());
            }
        }

        #[test]
        fn no_text_makes_a_bad_link(text in "\\PC{0,60}") {
            if let Some(link) = link(&text, &access()) {
                prop_assert!(link.starts_with("http"));
            }
        }
    }
}
