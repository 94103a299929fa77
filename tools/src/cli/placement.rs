//! `basalt placement explain`.

use std::fmt::Write;

use clap::Subcommand;
use hyper::Method;
use serde_json::Value;

use super::{
    client::Client,
    error::CliError,
    model::{BrokenRule, Placement},
    report::{Report, table},
    volume_arguments::VolumeArguments,
};
use crate::size::ByteSize;

#[derive(Debug, Subcommand)]
pub(crate) enum PlacementCommand {
    /// Where a new volume would lie, and what stands against every other node; exits 1 if it would be refused
    Explain(Box<VolumeArguments>),
}

pub(crate) async fn run(client: &mut Client, command: PlacementCommand) -> Result<Report, CliError> {
    let PlacementCommand::Explain(arguments) = command;
    let mut body = arguments.body()?;
    body["tenantId"] = client.tenant().into();
    let json = client.call(Method::POST, "/basalt/v1/placements:explain", Some(body)).await?;
    let placement: Placement = client.parse(json.clone())?;
    Ok(Report::new(text(&placement), json).with_problems(placement.refusal.is_some()))
}

fn text(placement: &Placement) -> String {
    let copies = if placement.copies == 1 { "copy" } else { "copies" };
    let mut text = format!(
        "{} {copies} of {}, {} reserved for each\n\n",
        placement.copies,
        ByteSize(placement.capacity_bytes),
        ByteSize(placement.reserved_bytes)
    );
    let is_chosen = |id: &str| placement.chosen.iter().any(|place| place.persistent_id == id);
    let rows = placement.backends.iter().map(|backend| {
        let verdict = match (is_chosen(&backend.persistent_id), backend.fits) {
            (true, _) => "chosen",
            (false, true) => "fits",
            (false, false) => "no",
        };
        let reasons: Vec<String> = backend.failed.iter().map(reason).collect();
        [backend.persistent_id.clone(), verdict.to_owned(), reasons.join("; ")]
    });
    text += &table(["NODE", "COPY", "WHY NOT"], rows);
    if let Some(refusal) = &placement.refusal {
        write!(text, "\nrefused: {} ({})\n", refusal.message, refusal.code)
            .expect("writing to a string works");
    }
    text
}

fn reason(broken: &BrokenRule) -> String {
    let figure = |value: &Value| match (broken.rule.as_str(), value) {
        ("space", Value::Number(bytes)) => ByteSize(bytes.as_u64().unwrap_or_default()).to_string(),
        ("bandwidth", Value::Number(bytes)) => {
            format!("{}/s", ByteSize(bytes.as_u64().unwrap_or_default()))
        }
        (_, Value::Null) => "none".to_owned(),
        (_, Value::Bool(true)) => "yes".to_owned(),
        (_, Value::Bool(false)) => "no".to_owned(),
        (_, Value::String(text)) => text.clone(),
        (_, Value::Array(texts)) => texts.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" or "),
        (_, other) => other.to_string(),
    };
    format!("{}: wanted {}, has {}", broken.rule, figure(&broken.wanted), figure(&broken.has))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_refusal_for_people() {
        let placement = json!({"copies": 2, "capacityBytes": 10u64 << 30, "reservedBytes": 1u64 << 30,
        "backends": [
            {"persistentID": "02:01", "fits": true, "failed": []},
            {"persistentID": "02:02", "fits": false, "failed": [
                {"rule": "zone", "wanted": ["a", "b"], "has": null},
                {"rule": "space", "wanted": 1u64 << 30, "has": 1u64 << 20},
                {"rule": "in-use", "wanted": true, "has": false}]}],
        "chosen": [], "refusal": {"code": "NotEnoughMatchingBackends", "message": "only one"}});
        let expected = "\
2 copies of 10 GiB, 1 GiB reserved for each

NODE   COPY  WHY NOT
02:01  fits
02:02  no    zone: wanted a or b, has none; space: wanted 1 GiB, has 1 MiB; in-use: wanted yes, has no

refused: only one (NotEnoughMatchingBackends)
";
        assert_eq!(text(&serde_json::from_value(placement).expect("a placement")), expected);
    }

    #[test]
    fn what_is_chosen_is_marked() {
        let placement = json!({"copies": 1, "capacityBytes": 1u64 << 30, "reservedBytes": 1u64 << 30,
            "backends": [{"persistentID": "02:01", "fits": true, "failed": []}],
            "chosen": [{"persistentID": "02:01", "drives": []}], "refusal": null});
        let text = text(&serde_json::from_value(placement).expect("a placement"));
        assert!(text.starts_with("1 copy of 1 GiB") && text.contains("02:01  chosen\n"), "{text}");
    }
}
