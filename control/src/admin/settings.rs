//! Network and application settings (admin.md §5.7): checked as a whole, stored as a whole.

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr, UdpSocket},
    path::Path,
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use super::{
    backup::Schedule,
    field_rule::{InvalidField, Letters, Rule},
    hex,
};
use crate::{
    ControlError,
    app::{App, retry},
    crash_point::crash_point,
    envelope::ApiError,
    open::store_path,
    state::{Change, Record, State, Stored},
    store::{RedbStore, StoreError},
};

/// The stored document, which is also what the API answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct AdminSettings {
    pub(crate) network: Network,
    /// Known keys: `log_level`, `backup_schedule`, `backup_keep`. Others are kept untouched.
    #[schema(value_type = Object)]
    pub(crate) app: Map<String, Value>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Network {
    /// `static` where address, netmask and gateway are given.
    mode: Mode,
    interface: String,
    /// What people call this node.
    pub(crate) hostname: String,
    #[serde(flatten)]
    addresses: Addresses,
    #[serde(skip_serializing_if = "Option::is_none")]
    dns1: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dns2: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ntpserver: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Mode {
    Static,
    Dhcp,
}

/// What takes effect when the server starts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Addresses {
    #[serde(skip_serializing_if = "Option::is_none")]
    ip_address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    netmask: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gateway: Option<String>,
}

impl Addresses {
    /// The address to listen on besides those that the server is started with; none in mode dhcp.
    fn to_listen_on(&self) -> Option<&str> {
        let all = self.netmask.as_ref().zip(self.gateway.as_ref());
        all.and(self.ip_address.as_deref())
    }
}

impl Record for AdminSettings {
    const PREFIX: &'static str = "admin/";
    fn id(&self) -> String {
        Self::KEY.to_owned()
    }
}

/// Changes what is logged while the server runs.
pub trait LogFilter: Send + Sync + fmt::Debug {
    /// Whether `level` is one; the text says why not.
    ///
    /// # Errors
    /// It is none.
    fn check(&self, level: &str) -> Result<(), String>;
    /// From now on.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    fn set(&self, level: &str) -> Result<(), String>;
}

const INTERFACE: Rule = Rule::required("interface", Letters::Alphanumeric, 3, 14);
const HOSTNAME: Rule = Rule::required("hostname", Letters::And(".-"), 3, 255);
const IP_ADDRESS: Rule = Rule::optional("ip_address", Letters::HexAnd(".:"), 3, 45);
const NETMASK: Rule = Rule::optional("netmask", Letters::HexAnd(".:/"), 2, 45);
const GATEWAY: Rule = Rule::optional("gateway", Letters::HexAnd(".:"), 3, 45);
const DNS1: Rule = Rule::optional("dns1", Letters::HexAnd(".:"), 3, 45);
const DNS2: Rule = Rule::optional("dns2", Letters::HexAnd(".:"), 3, 45);
const NTPSERVER: Rule = Rule::optional("ntpserver", Letters::And(".-:"), 3, 255);

impl AdminSettings {
    /// There is one.
    pub(crate) const KEY: &'static str = "settings";

    /// `log`: who judges log levels.
    pub(crate) fn parse(text: &str, log: Option<&dyn LogFilter>) -> Result<Self, InvalidField> {
        let invalid = |why: String| InvalidField(why);
        let document: Map<String, Value> =
            serde_json::from_str(text).map_err(|e| invalid(format!("settings is no JSON object: {e}")))?;
        let Some(Value::Object(network)) = document.get("network") else {
            return Err(invalid("network is missing, or no object".to_owned()));
        };
        let app = match document.get("app") {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(app)) => app.clone(),
            Some(_) => return Err(invalid("app must be an object".to_owned())),
        };
        let this = Self { network: Network::read(network)?, app };
        match (this.app.get("log_level"), log) {
            (None, _) => {}
            (Some(_), None) => return Err(invalid("app.log_level cannot be set at this server".to_owned())),
            (Some(Value::String(level)), Some(log)) => {
                log.check(level).map_err(|why| invalid(format!("app.log_level: {why}")))?;
            }
            (Some(_), _) => return Err(invalid("app.log_level must be text".to_owned())),
        }
        read_backups(&this.app)?;
        Ok(this)
    }

    /// How often backups are made, and how many of them are kept.
    pub(crate) fn backups(&self) -> (Schedule, usize) {
        let known = |app: &Map<String, Value>| read_backups(app).ok();
        known(&self.app).unwrap_or_default()
    }

    fn log_level(&self) -> Option<&str> {
        self.app.get("log_level")?.as_str()
    }

    /// Who is asked for the time, if anybody.
    pub(crate) fn ntp_server(&self) -> Option<&str> {
        self.network.ntpserver.as_deref()
    }

    /// Addresses must be some, and the static one must be this machine's.
    pub(crate) fn check_addresses(&self) -> Result<(), InvalidField> {
        for (key, server) in [("dns1", &self.network.dns1), ("dns2", &self.network.dns2)] {
            if let Some(server) = server.as_ref().filter(|server| server.parse::<IpAddr>().is_err()) {
                return Err(InvalidField(format!("network.{key} {server}: is no IP address")));
            }
        }
        let Some(text) = self.network.addresses.to_listen_on() else { return Ok(()) };
        let wrong = |why: &dyn fmt::Display| InvalidField(format!("network.ip_address {text}: {why}"));
        let ip: IpAddr = text.parse().map_err(|_| wrong(&"is no IP address"))?;
        match UdpSocket::bind(SocketAddr::new(ip, 0)) {
            Ok(_) => Ok(()),
            Err(e) if e.kind() == io::ErrorKind::AddrNotAvailable => {
                Err(wrong(&"no interface of this machine has it"))
            }
            Err(e) => Err(wrong(&e)),
        }
    }

    /// What takes effect at the next start only.
    pub(crate) fn addresses(&self) -> &Addresses {
        &self.network.addresses
    }
}

fn read_backups(app: &Map<String, Value>) -> Result<(Schedule, usize), InvalidField> {
    let schedule = app
        .get("backup_schedule")
        .map_or(Ok(Schedule::Off), Schedule::deserialize)
        .map_err(|_| InvalidField("app.backup_schedule must be off, hourly, daily or weekly".to_owned()))?;
    let keep = app.get("backup_keep").map_or(Some(DEFAULT_BACKUPS), Value::as_u64);
    match keep.filter(|keep| (1..=MAX_BACKUPS).contains(keep)).map(usize::try_from) {
        Some(Ok(keep)) => Ok((schedule, keep)),
        _ => Err(InvalidField(format!("app.backup_keep must be a number from 1 to {MAX_BACKUPS}"))),
    }
}

/// Scheduled backups that are kept.
const DEFAULT_BACKUPS: u64 = 7;
const MAX_BACKUPS: u64 = 100;

impl Network {
    /// Who is asked for the addresses of names.
    fn name_servers(&self) -> impl Iterator<Item = IpAddr> {
        [&self.dns1, &self.dns2].into_iter().flatten().filter_map(|server| server.parse().ok())
    }

    fn read(fields: &Map<String, Value>) -> Result<Self, InvalidField> {
        let addresses = Addresses {
            ip_address: IP_ADDRESS.read("network", fields)?,
            netmask: NETMASK.read("network", fields)?,
            gateway: GATEWAY.read("network", fields)?,
        };
        Ok(Self {
            mode: if addresses.to_listen_on().is_some() { Mode::Static } else { Mode::Dhcp },
            interface: INTERFACE.require("network", fields)?,
            hostname: HOSTNAME.require("network", fields)?,
            addresses,
            dns1: DNS1.read("network", fields)?,
            dns2: DNS2.read("network", fields)?,
            ntpserver: NTPSERVER.read("network", fields)?,
        })
    }
}

/// Stores the settings and makes those that need no restart count.
pub(crate) async fn apply(app: &App, settings: AdminSettings) -> Result<(), ApiError> {
    retry(|| async {
        let change = match app.state.get::<AdminSettings>(AdminSettings::KEY).await? {
            Some(mut stored) => {
                stored.value = settings.clone();
                Change::default().replace(&stored)
            }
            None => Change::default().create(&settings),
        };
        crash_point();
        Ok(app.state.commit(change).await?)
    })
    .await?;
    crash_point();
    take_effect(app, &settings);
    Ok(())
}

/// The mark of what a change of the settings changes.
pub(crate) async fn mark(state: &State) -> Result<String, StoreError> {
    let stored = state.get::<AdminSettings>(AdminSettings::KEY).await?;
    let text = stored.map(|stored| serde_json::to_vec(&stored.value).expect("it was read from JSON"));
    Ok(text.map_or_else(String::new, |text| hex(&Sha256::digest(text))))
}

/// At a start as well as at a change.
pub(crate) fn take_effect(app: &App, settings: &AdminSettings) {
    app.set_node_name(&settings.network.hostname);
    app.names.ask(settings.network.name_servers());
    if let (Some(level), Some(log)) = (settings.log_level(), &app.config.log_filter)
        && let Err(error) = log.set(level)
    {
        tracing::warn!(level, error, "the stored log level was not taken");
    }
}

/// The settings' static address, read from the store of a server that is not running: where the one that starts shall
/// listen, too.
///
/// # Errors
/// The store cannot be read.
pub async fn configured_address(data_dir: &Path) -> Result<Option<IpAddr>, ControlError> {
    let path = store_path(data_dir);
    if !path.exists() {
        return Ok(None);
    }
    let state = State::new(Arc::new(RedbStore::open(&path)?));
    let stored: Option<Stored<AdminSettings>> =
        state.get(AdminSettings::KEY).await.map_err(|e| ControlError::bad_file(&path, e))?;
    let address = stored.and_then(|s| s.value.network.addresses.to_listen_on()?.parse().ok());
    state.quiet().await.map_err(|e| ControlError::bad_file(&path, e))?;
    Ok(address)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[derive(Debug)]
    struct Levels;

    impl LogFilter for Levels {
        fn check(&self, level: &str) -> Result<(), String> {
            if level == "debug" { Ok(()) } else { Err("unknown".to_owned()) }
        }
        fn set(&self, level: &str) -> Result<(), String> {
            self.check(level)
        }
    }

    fn parse(document: &Value) -> Result<AdminSettings, InvalidField> {
        AdminSettings::parse(&document.to_string(), Some(&Levels))
    }

    #[test]
    fn the_contracts_documents_are_taken() {
        let mut document = json!({
            "network": {"interface": "eth0", "hostname": "test.host", "ip_address": "192.168.1.100",
                "netmask": "255.255.255.0", "gateway": "192.168.1.1", "dns1": "192.168.1.2",
                "dns2": "192.168.1.3", "ntpserver": "pool.ntp.org"},
            "app": {"name": "testapp", "log_level": "debug", "deep": [1, {"a": null}]},
        });
        let fixed = parse(&document).unwrap();
        let text = serde_json::to_string(&fixed).unwrap();
        assert!(text.starts_with(r#"{"network":{"mode":"static","interface":"eth0""#), "{text}");
        assert_eq!(serde_json::from_str::<AdminSettings>(&text).unwrap(), fixed);
        assert_eq!(json!(fixed.app), document["app"]);
        for key in ["ip_address", "ntpserver"] {
            document["network"][key] = json!("");
        }
        let dhcp = json!(parse(&document).unwrap());
        assert_eq!(
            (&dhcp["network"]["mode"], &dhcp["network"]["ip_address"]),
            (&json!("dhcp"), &Value::Null)
        );
    }

    #[test]
    fn each_field_has_its_rule() {
        for (key, value, why) in [
            ("interface", json!("a"), "3 to 14 characters"),
            ("interface", json!("eth 0"), "letters and digits only"),
            ("interface", json!(""), "is missing"),
            ("hostname", json!("under_score"), "letters, digits and .- only"),
            ("hostname", json!("x".repeat(256)), "3 to 255"),
            ("hostname", Value::Null, "is missing"),
            ("ip_address", json!("192.168.1.x"), "hexadecimal digits and .: only"),
            ("netmask", json!("8"), "2 to 45"),
            ("gateway", json!("fe80::1%eth0"), "hexadecimal digits"),
            ("dns1", json!(5), "must be text"),
            ("ntpserver", json!("<b>"), "letters, digits and .-: only"),
            ("ntpserver", json!("it's"), "letters, digits and .-: only"),
        ] {
            let mut network = json!({"interface": "eth0", "hostname": "host"});
            network[key] = value;
            let InvalidField(text) = parse(&json!({ "network": network })).unwrap_err();
            assert!(text.contains(&format!("network.{key} ")) && text.contains(why), "{text}");
        }
        let good = json!({"interface": "eth0", "hostname": "host", "netmask": "/8"});
        assert!(parse(&json!({ "network": good })).is_ok());
        for (document, why) in [
            (json!([]), "no JSON object"),
            (json!({"app": {}}), "network"),
            (json!({"network": good, "app": 5}), "app must"),
            (json!({"network": good, "app": {"log_level": 5}}), "app.log_level must be text"),
            (json!({"network": good, "app": {"backup_keep": 0}}), "app.backup_keep must be"),
            (json!({"network": good, "app": {"backup_schedule": "often"}}), "app.backup_schedule must be"),
            (json!({"network": good, "app": {"log_level": "x"}}), "app.log_level: unknown"),
        ] {
            assert!(parse(&document).unwrap_err().0.contains(why), "{document}");
        }
    }

    #[test]
    fn a_static_address_is_one_of_this_machine() {
        let with = |ip: &str| {
            let network = json!({"interface": "eth0", "hostname": "host", "ip_address": ip,
                "netmask": "/8", "gateway": "::1"});
            parse(&json!({ "network": network })).unwrap().check_addresses()
        };
        assert_eq!(with("127.0.0.1"), Ok(()));
        assert!(with("192.0.2.1").unwrap_err().0.contains("no interface"));
        assert!(with("1.2.3.4.5").unwrap_err().0.contains("no IP address"));
        for (key, server, good) in
            [("dns1", "192.0.2.1", true), ("dns2", "::1", true), ("dns2", "1.2.3", false)]
        {
            let settings =
                parse(&json!({"network": {"interface": "eth0", "hostname": "host", key: server}})).unwrap();
            assert_eq!(settings.check_addresses().is_ok(), good, "{server}");
            assert_eq!(settings.network.name_servers().count(), usize::from(good));
        }
    }
}
