//! What a change may ask for besides, in its query: bounds on its deployment, a place in the line. Never what a change is.

use super::{Call, refuse};
use crate::answer::parameter;
use api::marathon::{Violation, not_valid};
use bytes::Bytes;
use http::Response;
use orchestrator::{
    How,
    terms::{OnFailure, Terms},
};

/// Largest number in the query; those in definitions have 32 bits too.
const NUMBER_MAX: u64 = 2_147_483_647;

/// Reads it; names everything that is wrong with it.
pub(super) fn read(call: &Call<'_>) -> Result<How, Response<Bytes>> {
    let mut wrong = Vec::new();
    let mut number = |name: &str, least: u64| {
        let text = parameter(call.query, name)?;
        let number = text.parse::<u64>().ok().filter(|n| (least..=NUMBER_MAX).contains(n));
        if number.is_none() {
            let error = format!("'{text}' is not a whole number from {least} to {NUMBER_MAX}");
            wrong.push(Violation::new(&format!("/{name}"), error));
        }
        number
    };
    let (timeout_s, failures_max) = (number("deploymentTimeoutSeconds", 1), number("maxFailures", 0));
    let settle_s = number("settleSeconds", 0);
    let on_failure = parameter(call.query, "onFailure").and_then(|name| {
        let on_failure = OnFailure::named(&name);
        if on_failure.is_none() {
            wrong.push(Violation::new("/onFailure", format!("'{name}' is not one of pause, rollback")));
        }
        on_failure
    });
    if !wrong.is_empty() {
        return Err(refuse(not_valid(&wrong)));
    }
    let terms = Terms { timeout_s, failures_max, settle_s, on_failure };
    Ok(How { terms, queue: call.flag("queue", false) })
}
