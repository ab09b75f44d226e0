//! CircleCI's outbound webhooks: whether one is signed by who knows the secret, and what it says. Pure: knows neither HTTP
//! nor what is done with an event. Facts: circleci.com/docs, "Outbound webhooks" and "Outbound webhooks reference".

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use sha2::Sha256;
use uuid::Uuid;

use crate::repo::{ProjectSlug, RepoName};
use crate::text;
use crate::time::Timestamp;

/// The header that carries the signature.
pub const SIGNATURE_HEADER: &str = "circleci-signature";
/// The only version of signatures that is believed, the newest one there is. Whoever could choose another one could choose
/// the weakest, so that versions to come are not believed before this file knows them.
const SIGNATURE_VERSION: &str = "v1";

/// The longest id that is kept, in UTF-16 units; CircleCI's are UUIDs.
const ID_UNITS_MAX: usize = 64;
/// The longest name of a workflow or job that is kept, in UTF-16 units.
const NAME_UNITS_MAX: usize = 100;
/// The longest word for a status, in UTF-16 units.
const STATUS_UNITS_MAX: usize = 40;

/// Why a webhook is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unsigned {
    /// It came without a signature.
    #[error("it has no signature; is the secret set in the webhook on CircleCI?")]
    Missing,
    /// Its signature is of another version.
    #[error("it has no signature of version v1")]
    OtherVersion,
    /// It has more than one signature of that version, which CircleCI doesn't send.
    #[error("it has several signatures of version v1")]
    Several,
    /// Its signature is no HMAC-SHA256 in hexadecimal.
    #[error("its signature is none: v1 is 64 hexadecimal digits")]
    Malformed,
    /// Its signature is another one's.
    #[error("its signature doesn't fit; are CIRCLECI_WEBHOOK_SECRET and the webhook's secret on CircleCI the same?")]
    Wrong,
}

/// Checks the signature in `header` (`v1=<hex>,v2=…`) over the raw `body`, in constant time.
///
/// # Errors
/// Why the webhook is not believed.
pub fn verify(header: Option<&str>, body: &[u8], secret: &SecretString) -> Result<(), Unsigned> {
    let header = header.ok_or(Unsigned::Missing)?;
    let mut known = header
        .split(',')
        .filter_map(|entry| entry.trim().split_once('='))
        .filter(|(version, _)| *version == SIGNATURE_VERSION)
        .map(|(_, signature)| signature);
    let signature = known.next().ok_or(Unsigned::OtherVersion)?;
    // Each one would cost another look at the whole body.
    if known.next().is_some() {
        return Err(Unsigned::Several);
    }
    let mut claimed = [0; 32];
    hex::decode_to_slice(signature, &mut claimed).map_err(|_| Unsigned::Malformed)?;
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes()).expect("HMAC takes keys of every length");
    mac.update(body);
    mac.verify_slice(&claimed).map_err(|_| Unsigned::Wrong)
}

/// What a webhook tells. What CircleCI left out, as its test ping does, is absent; all text is bounded and in one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Tells deliveries of the same event from other events; empty where there is none.
    pub id: String,
    /// What happened.
    pub kind: Kind,
    /// When, by CircleCI's clock.
    pub happened_at: Option<Timestamp>,
    /// The project, as API v2 answers it: `gh/acme/web`, `bb/acme/web` or `circleci/<organisation>/<project>`. Letter case
    /// is CircleCI's.
    pub project_slug: Option<String>,
    /// The pipeline.
    pub pipeline: Option<Uuid>,
    /// Its number in its project.
    pub pipeline_number: Option<i64>,
    /// The workflow.
    pub workflow: Option<Workflow>,
    /// The job, in events about one.
    pub job: Option<Job>,
}

/// What can happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A workflow came to its end.
    WorkflowCompleted,
    /// A job came to its end.
    JobCompleted,
    /// Something that this version doesn't know.
    Other,
}

/// A workflow in an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workflow {
    pub id: Uuid,
    pub name: String,
    /// CircleCI's word for how it ended; absent in events about a job.
    pub status: Option<String>,
}

/// A job in an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// The number of the build in its project, the same in both generations of the API.
    pub number: i64,
    pub name: String,
    /// CircleCI's word for how it ended.
    pub status: Option<String>,
}

/// The body is not a JSON object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is not a JSON object")]
pub struct NotUnderstood;

/// Reads a webhook's body. Fields that are unknown, absent or not as documented harm no others: the payload is open.
///
/// # Errors
/// When it is no JSON object.
pub fn parse(body: &[u8]) -> Result<Event, NotUnderstood> {
    let value: Value = serde_json::from_slice(body).map_err(|_| NotUnderstood)?;
    if !value.is_object() {
        return Err(NotUnderstood);
    }
    let kind = match value["type"].as_str() {
        Some("workflow-completed") => Kind::WorkflowCompleted,
        Some("job-completed") => Kind::JobCompleted,
        _ => Kind::Other,
    };
    let (pipeline, workflow, job) = (&value["pipeline"], &value["workflow"], &value["job"]);
    Ok(Event {
        id: cleaned(&value["id"], ID_UNITS_MAX).unwrap_or_default(),
        kind,
        happened_at: value["happened_at"].as_str().and_then(|text| text.parse().ok()),
        project_slug: value["project"]["slug"].as_str().and_then(normalised),
        pipeline: uuid(&pipeline["id"]),
        pipeline_number: number(&pipeline["number"]),
        workflow: uuid(&workflow["id"]).map(|id| Workflow {
            id,
            name: cleaned(&workflow["name"], NAME_UNITS_MAX).unwrap_or_default(),
            status: cleaned(&workflow["status"], STATUS_UNITS_MAX),
        }),
        job: number(&job["number"]).map(|number| Job {
            number,
            name: cleaned(&job["name"], NAME_UNITS_MAX).unwrap_or_default(),
            status: cleaned(&job["status"], STATUS_UNITS_MAX),
        }),
    })
}

/// Webhooks spell providers out (`github/acme/web`) where API v2 answers the short form.
fn normalised(slug: &str) -> Option<String> {
    if slug.parse::<ProjectSlug>().is_ok() {
        return Some(slug.to_owned());
    }
    let (provider, name) = slug.split_once('/')?;
    let name: RepoName = name.parse().ok()?;
    match provider {
        "github" | "gh" => Some(format!("gh/{name}")),
        "bitbucket" | "bb" => Some(format!("bb/{name}")),
        _ => None,
    }
}

fn uuid(value: &Value) -> Option<Uuid> {
    value.as_str().and_then(|text| Uuid::parse_str(text).ok())
}

fn number(value: &Value) -> Option<i64> {
    value.as_i64().filter(|number| *number > 0)
}

fn cleaned(value: &Value, max: usize) -> Option<String> {
    // Clipped first: what is made harmless grows.
    let text = value.as_str().map(|text| text::clip(text, max))?;
    Some(text::clip(&text::one_line(&text), max).into_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// CircleCI's own test vectors: body, secret, signature ("Outbound webhooks", "Validate webhooks").
    const VECTORS: [(&str, &str, &str); 4] = [
        ("hello world", "secret", "734cc62f32841568f45715aeb9f4d7891324e6d948e4c6c60c0621cdac48623a"),
        ("lalala", "another-secret", "daa220016c8f29a8b214fbfc3671aeec2145cfb1e6790184ffb38b6d0425fa00"),
        (
            "an-important-request-payload",
            "hunter123",
            "9be2242094a9a8c00c64306f382a7f9d691de910b4a266f67bd314ef18ac49fa",
        ),
        ("foo", "secret", "773ba44693c7553d6ee20f61ea5d2757a9a4f4a44d2841ae4e95b52e4cd62db4"),
    ];

    fn check(header: &str) -> Result<(), Unsigned> {
        verify(Some(header), b"foo", &"secret".into())
    }

    #[test]
    fn the_documented_vectors_hold() {
        for (body, secret, signature) in VECTORS {
            let header = format!("v1={signature}");
            assert_eq!(verify(Some(&header), body.as_bytes(), &secret.into()), Ok(()), "{body}");
            assert_eq!(verify(Some(&header), b"other", &secret.into()), Err(Unsigned::Wrong), "{body}");
            assert_eq!(verify(Some(&header), body.as_bytes(), &"other".into()), Err(Unsigned::Wrong), "{body}");
        }
    }

    #[test]
    fn only_one_signature_and_only_version_1_is_believed() {
        let good = VECTORS[3].2;
        assert_eq!(check(&format!("v1={good},v2=abc")), Ok(()));
        assert_eq!(check(&format!("v2=abc, v1={good}")), Ok(()));
        assert_eq!(check(&format!("v1={}", good.to_uppercase())), Ok(()));
        assert_eq!(verify(None, b"foo", &"secret".into()), Err(Unsigned::Missing));
        for header in ["", ",", "=", "v1", good, &format!("v2={good}"), &format!("v0={good}"), &format!("V1={good}")] {
            assert_eq!(check(header), Err(Unsigned::OtherVersion), "{header}");
        }
        let wrong = "0".repeat(64);
        for header in [format!("v1={wrong},v1={good}"), format!("v1={good},v1={good}"), format!("v1=,v1={good}")] {
            assert_eq!(check(&header), Err(Unsigned::Several), "{header}");
        }
        for signature in ["", "7", &good[..62], &format!("{good}00"), &"g".repeat(64), &format!("={good}")] {
            assert_eq!(check(&format!("v1={signature}")), Err(Unsigned::Malformed), "{signature}");
        }
        assert_eq!(check(&format!("v1={wrong}")), Err(Unsigned::Wrong));
    }

    #[test]
    fn the_documented_example_is_read() {
        let body = json!({
            "id": "3888f21b-eaa7-38e3-8f3d-75a63bba8895", "type": "workflow-completed",
            "happened_at": "2021-09-01T22:49:34.317Z",
            "project": {"id": "84996744-a854-4f5e-aea3-04e2851dc1d2", "name": "webhook-service", "slug": "github/circleci/webhook-service"},
            "workflow": {"id": "fda08377-fe7e-46b1-8992-3a7aaecac9c3", "name": "build-test-deploy", "status": "success"},
            "pipeline": {"id": "1285fe1d-d3a6-44fc-8886-8979558254c4", "number": 130},
        });
        let event = parse(body.to_string().as_bytes()).unwrap();
        assert_eq!(event.id, "3888f21b-eaa7-38e3-8f3d-75a63bba8895");
        assert_eq!(event.kind, Kind::WorkflowCompleted);
        assert_eq!(event.happened_at.unwrap().to_string(), "2021-09-01T22:49:34.317Z");
        assert_eq!(event.project_slug.as_deref(), Some("gh/circleci/webhook-service"));
        assert_eq!(event.pipeline_number, Some(130));
        assert_eq!(event.pipeline.unwrap().to_string(), "1285fe1d-d3a6-44fc-8886-8979558254c4");
        let workflow = event.workflow.unwrap();
        assert_eq!((workflow.name.as_str(), workflow.status.as_deref()), ("build-test-deploy", Some("success")));
        assert_eq!(event.job, None);
    }

    #[test]
    fn what_is_left_out_or_odd_harms_nothing_else() {
        let event = parse(br#"{"type":"job-completed","job":{"number":7,"name":5,"status":"a\u001b[31m\nb"},"pipeline":[],"project":{"slug":"github/../x"},"id":null}"#).unwrap();
        assert_eq!((event.kind, event.id.as_str()), (Kind::JobCompleted, ""));
        assert_eq!((event.project_slug, event.pipeline, event.workflow), (None, None, None));
        let job = event.job.unwrap();
        assert_eq!((job.number, job.name.as_str(), job.status.as_deref()), (7, "", Some("a\\u{1b}[31m\\nb")));

        let ping = parse(br#"{"type":"ping","webhook":{"name":"x"}}"#).unwrap();
        assert_eq!(ping.kind, Kind::Other);
        assert_eq!(parse(b"{}").unwrap().kind, Kind::Other);
        for body in ["", "[]", "null", "7", "{", "\"{}\"", "{}x", &"[".repeat(10_000)] {
            assert_eq!(parse(body.as_bytes()), Err(NotUnderstood), "{body}");
        }
    }

    #[test]
    fn slugs_are_spelled_as_the_api_does() {
        for (slug, spelled) in [
            ("github/acme/web", Some("gh/acme/web")),
            ("gh/acme/web", Some("gh/acme/web")),
            ("bitbucket/acme/web", Some("bb/acme/web")),
            (
                "circleci/43G3kM5RtfFE7v5sa4nWAU/44n9pujWcTnVZ2b5S8Fnat",
                Some("circleci/43G3kM5RtfFE7v5sa4nWAU/44n9pujWcTnVZ2b5S8Fnat"),
            ),
            ("svn/acme/web", None),
            ("gh/acme", None),
            ("gh/acme/web/x", None),
            ("", None),
        ] {
            assert_eq!(normalised(slug).as_deref(), spelled, "{slug}");
        }
    }

    proptest! {
        #[test]
        fn no_body_panics(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&body);
        }

        #[test]
        fn no_header_panics_or_is_believed(header in "(v1=|v2=|[a-f0-9]{0,70}|,| |=|.){0,12}") {
            prop_assert!(check(&header).is_err());
        }

        #[test]
        fn whatever_a_text_holds_it_stays_short_and_in_one_line(text in ".{0,300}", control in "[\u{0}-\u{1f}]{0,80}") {
            let body = json!({"id": &text, "type": &text, "workflow": {"id": Uuid::nil().to_string(), "name": text + &control, "status": control}, "project": {"slug": 5}});
            let event = parse(body.to_string().as_bytes()).unwrap();
            let workflow = event.workflow.unwrap();
            for (kept, max) in [(event.id, ID_UNITS_MAX), (workflow.name, NAME_UNITS_MAX), (workflow.status.unwrap(), STATUS_UNITS_MAX)] {
                prop_assert!(kept.encode_utf16().count() <= max && !kept.contains(char::is_control));
            }
        }
    }
}
