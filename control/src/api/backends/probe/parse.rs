//! The body of a probe.

use std::net::IpAddr;

use axum::http::Uri;
use serde_json::{Map, Value};

use super::super::BackendChange;
use crate::{
    envelope::{Code, Failure},
    fields::Fields,
    limits,
    model::probe::{AuthenticationMode, INTERVALS, Probe},
};

/// What a node says of itself, and of the provisioner as it knows it.
#[derive(Debug, Clone)]
pub(super) struct Probing {
    pub(super) persistent_id: String,
    pub(super) probe: Probe,
    /// Whether new volumes may be placed there, to begin with.
    pub(super) in_use: bool,
    /// Where it stands, to begin with.
    pub(super) seeds: BackendChange,
    pub(super) url: String,
}

/// Both spellings of the last one (D49).
const MODES: [(&str, AuthenticationMode); 4] = [
    ("LOCAL", AuthenticationMode::Local),
    ("LDAP", AuthenticationMode::Ldap),
    ("OpenIDC", AuthenticationMode::Oidc),
    ("OPEN_IDC", AuthenticationMode::Oidc),
];

/// What a node that asks an authorization server must know of it (D13). The provisioner has its own settings.
const OIDC_FIELDS: [&str; 5] = [
    "authorizationServerPublicKey",
    "authorizationServerTokenURL",
    "backendsResourceID",
    "backendsClientID",
    "backendsClientSecret",
];

impl Probing {
    /// Every field is mandatory (D13).
    pub(super) fn parse(body: &Map<String, Value>, now_ms: u64) -> Result<Self, Failure> {
        let fields = Fields::new(body);
        let prefix = "provisioner.";
        let provisioner = fields.require("provisioner", fields.object("provisioner", prefix)?)?;
        let text = |fields: Fields<'_>, name: &str, longest| {
            fields.require(name, fields.text(name, longest)?).map(str::to_owned)
        };
        let whole = |name: &str| fields.require(name, fields.whole(name)?);
        let id = fields.require("persistentID", fields.label("persistentID", limits::NAME_CHARS)?)?;
        let mode = fields.word("authenticationMode", &MODES)?;
        let authentication_mode = fields.require("authenticationMode", mode)?;
        if authentication_mode == AuthenticationMode::Oidc {
            for name in OIDC_FIELDS {
                text(provisioner, name, limits::AUTH_SERVER_CHARS)?;
            }
        }
        whole("changes")?;
        let (total_bytes, available_bytes) = (whole("totalCapacity")?, whole("availableCapacity")?);
        if available_bytes > total_bytes {
            return Err(Failure::of_field("availableCapacity", "must be at most totalCapacity"));
        }
        let tags = Tags::parse(provisioner)?;
        Ok(Self {
            persistent_id: id.to_owned(),
            in_use: provisioner.require("inUse", provisioner.truth("inUse")?)?,
            url: url(&text(provisioner, "url", limits::NAME_CHARS)?)?,
            probe: Probe {
                mgmt_ips: ips(fields)?,
                mgmt_port: port(whole("mgmtPort")?)?,
                total_bytes,
                available_bytes,
                total_iops: whole("totalIOPS")?,
                used_iops: whole("usedIOPS")?,
                total_bytes_per_second: whole("totalBW")?,
                used_bytes_per_second: whole("usedBW")?,
                version: text(fields, "version", limits::NAME_CHARS)?,
                target_driver_version: text(fields, "targetDriverVersion", limits::NAME_CHARS)?,
                drives: usize::try_from(whole("numberOfSSDs")?).unwrap_or(usize::MAX),
                certified: fields.require("certified", fields.truth("certified")?)?,
                authentication_mode,
                interval_seconds: interval(provisioner)?,
                storage_class_name: tags.storage_class_name,
                time_ms: now_ms,
            },
            seeds: tags.seeds,
        })
    }
}

fn ips(fields: Fields<'_>) -> Result<Vec<IpAddr>, Failure> {
    let ips = fields.require("mgmtIPs", fields.texts("mgmtIPs")?)?;
    if ips.is_empty() || ips.len() > limits::MANAGEMENT_ADDRESSES {
        let most = limits::MANAGEMENT_ADDRESSES;
        return Err(Failure::of_field("mgmtIPs", format!("must have from 1 to {most} members")));
    }
    let ip = |text: &String| {
        text.parse().map_err(|_| Failure::of_field("mgmtIPs", format!("holds no IP address: {text:?}")))
    };
    ips.iter().map(ip).collect()
}

fn port(number: u64) -> Result<u16, Failure> {
    match u16::try_from(number) {
        Ok(port @ 1..) => Ok(port),
        _ => Err(Failure::of_field("mgmtPort", "must be from 1 to 65535")),
    }
}

fn interval(provisioner: Fields<'_>) -> Result<u64, Failure> {
    let seconds = provisioner.require("pushInterval", provisioner.whole("pushInterval")?)?;
    if INTERVALS.contains(&seconds) {
        return Ok(seconds);
    }
    let why = format!("must be from {} to {} seconds", INTERVALS.start(), INTERVALS.end());
    Err(Failure::of_field("provisioner.pushInterval", why))
}

/// `<protocol>://<ip/host>:<port>`.
fn url(text: &str) -> Result<String, Failure> {
    let uri = text.parse::<Uri>().ok();
    let is_whole = |uri: &Uri| {
        uri.scheme().is_some() && uri.host().is_some_and(|host| !host.is_empty()) && uri.port_u16().is_some()
    };
    match uri.filter(is_whole) {
        Some(_) => Ok(text.to_owned()),
        None => Err(Failure::of_field("provisioner.url", "must be PROTOCOL://HOST:PORT")),
    }
}

#[derive(Debug, Default)]
struct Tags {
    seeds: BackendChange,
    storage_class_name: Option<String>,
}

impl Tags {
    /// Unknown ones are ignored, as unknown fields are (D4). Who shares drives is for the node alone.
    fn parse(provisioner: Fields<'_>) -> Result<Self, Failure> {
        const FIELD: &str = "provisioner.tags";
        let list = provisioner.require("tags", provisioner.raw("tags"))?;
        let wrong = |reason: String| Failure::of_field(FIELD, reason);
        let list = list.as_array().filter(|list| list.len() <= limits::BACKEND_TAGS).ok_or_else(|| {
            wrong(format!("must be a list of at most {} objects {{name, value}}", limits::BACKEND_TAGS))
        })?;
        let mut tags = Self::default();
        for tag in list {
            let text = |name| tag.get(name).and_then(Value::as_str);
            let (Some(name), Some(value)) = (text("name"), text("value")) else {
                return Err(wrong(format!("must hold objects {{name, value}} of strings, not {tag}")));
            };
            let slot = match name {
                "rack" => &mut tags.seeds.rack,
                "zone" => &mut tags.seeds.zone,
                "region" => &mut tags.seeds.region,
                "hostId" => &mut tags.seeds.host_id,
                "storageClassName" => &mut tags.storage_class_name,
                _ => continue,
            };
            if value.chars().count() > limits::NAME_CHARS {
                let why = format!("{FIELD}: {name} must have at most {} characters", limits::NAME_CHARS);
                return Err(Failure {
                    field: Some(FIELD.to_owned()),
                    ..Failure::new(Code::InvalidInput, why)
                });
            }
            *slot = Some(value.to_owned()).filter(|value| !value.is_empty());
        }
        Ok(tags)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn body() -> Value {
        json!({
            "availableCapacity": 40, "totalCapacity": 100, "usedBW": 1, "totalBW": 5, "usedIOPS": 2, "totalIOPS": 9,
            "mgmtIPs": ["192.0.2.7"], "mgmtPort": 443, "persistentID": "02:00:5e:00:53:07", "version": "3.1",
            "numberOfSSDs": 4, "Certified": true, "targetDriverVersion": "", "changes": 3, "authenticationMode": "LOCAL",
            "provisioner": {"inUse": true, "url": "https://192.0.2.1:30100", "pushInterval": 60, "tags": [
                {"name": "rack", "value": "r"}, {"name": "storageClassName", "value": "gold"},
                {"name": "shareSSDBetweenVolumes", "value": "true"}, {"name": "zone", "value": ""}]},
        })
    }

    fn parse(body: &Value) -> Result<Probing, Failure> {
        Probing::parse(body.as_object().unwrap(), 7)
    }

    #[test]
    fn a_whole_probe() {
        let probing = parse(&body()).unwrap();
        assert_eq!((probing.seeds.rack.as_deref(), &probing.seeds.zone), (Some("r"), &None));
        assert_eq!(probing.probe.storage_class_name.as_deref(), Some("gold"));
        assert_eq!((probing.probe.certified, probing.probe.time_ms), (true, 7));
        let mut other = body();
        other["certified"] = other["Certified"].take();
        assert!(parse(&other).unwrap().probe.certified, "both spellings (D4)");
    }

    #[test]
    fn each_missing_or_wrong_field_is_named() {
        let top = body();
        let top = top.as_object().unwrap().keys().filter(|name| *name != "provisioner");
        for name in top {
            for wrong in [Value::Null, json!({})] {
                let mut body = body();
                body[name] = wrong;
                let failure = parse(&body).unwrap_err();
                assert_eq!(failure.field.unwrap().to_lowercase(), name.to_lowercase());
            }
        }
        for name in ["inUse", "url", "pushInterval", "tags"] {
            for wrong in [Value::Null, json!({})] {
                let mut body = body();
                body["provisioner"][name] = wrong;
                assert_eq!(parse(&body).unwrap_err().field.unwrap(), format!("provisioner.{name}"));
            }
        }
    }

    #[test]
    fn values_that_cannot_be() {
        let cases = [
            ("/mgmtIPs", json!([]), "mgmtIPs"),
            ("/mgmtIPs", json!(["host"]), "mgmtIPs"),
            ("/mgmtPort", json!(0), "mgmtPort"),
            ("/persistentID", json!("a/b"), "persistentID"),
            ("/availableCapacity", json!(101), "availableCapacity"),
            ("/authenticationMode", json!("none"), "authenticationMode"),
            // What is asked for then.
            ("/authenticationMode", json!("OpenIDC"), "provisioner.authorizationServerPublicKey"),
            ("/provisioner/pushInterval", json!(59), "provisioner.pushInterval"),
            ("/provisioner/pushInterval", json!(86_401), "provisioner.pushInterval"),
            ("/provisioner/url", json!("192.0.2.1"), "provisioner.url"),
            ("/provisioner/tags", json!(["rack"]), "provisioner.tags"),
            ("/provisioner/tags/0/value", json!("x".repeat(256)), "provisioner.tags"),
        ];
        for (place, value, field) in cases {
            let mut body = body();
            *body.pointer_mut(place).unwrap() = value;
            assert_eq!(parse(&body).unwrap_err().field.as_deref(), Some(field), "{place}");
        }
    }
}
