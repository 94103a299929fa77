//! What a create request asks for.

use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{
    Replication,
    envelope::{Code, Failure},
    fields::{Fields, LARGEST},
    limits,
    model::{
        GIB,
        reserve::percent,
        volume::{Protocol, Provisioning, StorageClass},
    },
};

/// The largest capacity in GiB: its bytes are still exact in every client's JSON numbers.
pub(super) const MAX_CAPACITY_GIB: u64 = LARGEST / GIB;

#[derive(Debug, PartialEq)]
pub(super) struct CreateRequest {
    pub(super) alias: String,
    pub(super) uuid: Option<Uuid>,
    pub(super) volume: VolumeRequest,
}

/// What kind of volume: all that decides where it can lie.
#[derive(Debug, PartialEq)]
pub(crate) struct VolumeRequest {
    pub(super) capacity_gib: u64,
    pub(super) provisioning: Provisioning,
    /// Of a thin volume; 0 is the default.
    pub(super) reserve_percent: u64,
    pub(super) protocol: Protocol,
    pub(crate) class: StorageClass,
}

impl CreateRequest {
    /// `InvalidInput` names the first field that is wrong.
    pub(super) fn parse(body: &Map<String, Value>) -> Result<Self, Failure> {
        let fields = Fields::new(body);
        let alias = fields.label("alias", limits::NAME_CHARS)?;
        let volume = VolumeRequest::parse(fields)?;
        Ok(Self { alias: fields.require("alias", alias)?.to_owned(), uuid: fields.uuid("uuid")?, volume })
    }
}

impl VolumeRequest {
    pub(crate) fn parse(fields: Fields<'_>) -> Result<Self, Failure> {
        let capacity_gib = fields.require("capacity", fields.whole("capacity")?)?;
        if !(1..=MAX_CAPACITY_GIB).contains(&capacity_gib) {
            let why = format!("must be from 1 to {MAX_CAPACITY_GIB} GiB");
            return Err(Failure::of_field("capacity", why));
        }
        let provisioning = fields
            .word("provisioningType", &[("THICK", Provisioning::Thick), ("THIN", Provisioning::Thin)])?
            .unwrap_or(Provisioning::Thick);
        let reserve = fields.integer("reservedSpacePercentage")?;
        let protocol =
            fields.word("protocol", &[("NVMeoF", Protocol::Nvmeof), ("Local", Protocol::Local)])?;
        let class = match fields.object("storageClass", "storageClass.")? {
            Some(class) => storage_class(class)?,
            None => storage_class(Fields::new(&Map::new()))?,
        };
        Ok(Self {
            capacity_gib,
            provisioning,
            reserve_percent: match provisioning {
                Provisioning::Thick => 0,
                Provisioning::Thin | Provisioning::Other => percent(reserve)?,
            },
            protocol: protocol.unwrap_or(Protocol::Nvmeof),
            class,
        })
    }

    /// D27, and what D59 allows so far. `default` is for a class that does not say who replicates.
    pub(crate) fn check_replicas(&self, default: Replication) -> Result<(), Failure> {
        let refuse = |why: &str| Err(Failure::new(Code::InvalidReplicas, why));
        match (self.class.num_replicas, self.protocol, self.class.replication.unwrap_or(default)) {
            (0 | 4.., ..) => refuse("storageClass.numReplicas must be from 1 to 3"),
            (2.., Protocol::Local, _) => refuse("a volume with protocol Local has one replica"),
            (2.., Protocol::Nvmeof, Replication::Target) => {
                refuse("target mirroring is not available yet; use replication host")
            }
            (1, ..) | (2.., Protocol::Nvmeof, Replication::Host) => Ok(()),
        }
    }
}

fn storage_class(fields: Fields<'_>) -> Result<StorageClass, Failure> {
    let rate = |name: &str| Ok::<_, Failure>(fields.whole(name)?.unwrap_or(0));
    let list = |name: &str| Ok::<_, Failure>(fields.texts(name)?.unwrap_or_default());
    let class = StorageClass {
        name: fields.text("name", limits::NAME_CHARS)?.filter(|n| !n.is_empty()).map(str::to_owned),
        num_replicas: fields.whole("numReplicas")?.unwrap_or(1),
        same_rack_allowed: fields.truth("sameRackAllowed")?.unwrap_or(false),
        racks: list("racks")?,
        zones: list("zones")?,
        regions: list("regions")?,
        max_iops_per_gib: rate("maxIOPSPerGB")?,
        max_bytes_per_second_per_gib: rate("maxBWPerGB")?,
        desired_iops_per_gib: rate("desiredIOPSPerGB")?,
        desired_bytes_per_second_per_gib: rate("desiredBWPerGB")?,
        block_bytes: match fields.whole("blockSize")? {
            None | Some(4096) => 4096,
            Some(512) => 512,
            Some(_) => return Err(Failure::invalid("storageClass.blockSize must be 512 or 4096")),
        },
        max_replica_down_minutes: fields.whole("maxReplicaDownTime")?.unwrap_or(0),
        host_id: fields.text("hostId", limits::NAME_CHARS)?.filter(|h| !h.is_empty()).map(str::to_owned),
        allow_span: fields.truth("allowSpan")?.unwrap_or(true),
        share_ssd: fields.truth("shareSSDBetweenVolumes")?.unwrap_or(true),
        replication: fields
            .word("replication", &[("target", Replication::Target), ("host", Replication::Host)])?,
    };
    if !class.share_ssd && class.name.is_none() {
        return Err(Failure::invalid(
            "storageClass.name is required if storageClass.shareSSDBetweenVolumes is false",
        ));
    }
    Ok(class)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(body: Value) -> Result<CreateRequest, Failure> {
        CreateRequest::parse(body.as_object().unwrap())
    }

    #[test]
    fn what_is_absent_has_its_default() {
        let request = parse(json!({"alias": "a", "capacity": 10})).unwrap();
        let volume = request.volume;
        assert_eq!((volume.provisioning, volume.protocol), (Provisioning::Thick, Protocol::Nvmeof));
        assert_eq!(volume.class, crate::model::volume::tests::class());
    }

    #[test]
    fn what_cinder_sends() {
        let request = parse(json!({
            "alias": "volume-1", "capacity": 10, "protocol": "NVMeoF", "provisioningType": "THICK",
            "reservedSpacePercentage": 0, "uuid": "6BA7B810-9dad-41d1-80b4-00c04fd430c8",
            "storageClass": {"allowSpan": true, "blockSize": 4096, "desiredBWPerGB": 0,
                "desiredIOPSPerGB": 0, "maxBWPerGB": 0, "maxIOPSPerGB": 0, "maxReplicaDownTime": 0,
                "numReplicas": 1, "sameRackAllowed": false, "zones": [null]},
        }));
        let request = request.unwrap();
        assert!(request.volume.class.zones.is_empty());
        assert_eq!(request.uuid.unwrap().to_string(), "6ba7b810-9dad-41d1-80b4-00c04fd430c8");
    }

    #[test]
    fn each_wrong_field_is_named() {
        let wrong = [
            ("alias", json!({"alias": ""})),
            ("alias", json!({"alias": null})),
            ("alias", json!({"alias": "a/b"})),
            ("capacity", json!({"capacity": 0})),
            ("capacity", json!({"capacity": -1})),
            ("capacity", json!({"capacity": "10"})),
            ("capacity", json!({"capacity": 1.5})),
            ("capacity", json!({"capacity": 1u64 << 40})),
            ("capacity", json!({"capacity": null})),
            ("uuid", json!({"uuid": "6ba7b8109dad41d180b400c04fd430c8"})),
            ("provisioningType", json!({"provisioningType": "thin"})),
            ("protocol", json!({"protocol": "iSCSI"})),
            ("reservedSpacePercentage", json!({"provisioningType": "THIN", "reservedSpacePercentage": 101})),
            ("storageClass", json!({"storageClass": [1]})),
            ("storageClass.blockSize", json!({"storageClass": {"blockSize": 1}})),
            ("storageClass.zones", json!({"storageClass": {"zones": "nova"}})),
            ("storageClass.maxIOPSPerGB", json!({"storageClass": {"maxIOPSPerGB": -5}})),
            ("storageClass.name", json!({"storageClass": {"shareSSDBetweenVolumes": false}})),
            ("storageClass.replication", json!({"storageClass": {"replication": "none"}})),
        ];
        for (field, change) in wrong {
            let mut body = json!({"alias": "a", "capacity": 1});
            body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            let failure = parse(body).unwrap_err();
            assert_eq!(failure.code, Code::InvalidInput, "{change}");
            assert!(failure.description.starts_with(field), "{}", failure.description);
        }
    }

    #[test]
    fn the_reserve_of_a_thick_volume_is_ignored() {
        let body = json!({"alias": "a", "capacity": 1, "reservedSpacePercentage": 101});
        assert_eq!(parse(body).unwrap().volume.reserve_percent, 0);
    }

    #[test]
    fn replicas_by_number_protocol_and_replication() {
        let (target, host) = (Replication::Target, Replication::Host);
        // Copies, protocol, the class' word, the setting.
        let table = [
            (0, "NVMeoF", json!("host"), host, false),
            (1, "NVMeoF", json!(null), target, true),
            (1, "NVMeoF", json!("target"), target, true),
            (1, "Local", json!(null), target, true),
            (2, "Local", json!("host"), host, false),
            (2, "NVMeoF", json!(null), target, false),
            (2, "NVMeoF", json!("target"), host, false),
            (2, "NVMeoF", json!("host"), target, true),
            (3, "NVMeoF", json!(null), host, true),
            (4, "NVMeoF", json!("host"), host, false),
        ];
        for (replicas, protocol, word, default, allowed) in table {
            let class = json!({"numReplicas": replicas, "replication": word});
            let body = json!({"alias": "a", "capacity": 1, "protocol": protocol, "storageClass": class});
            let checked = parse(body).unwrap().volume.check_replicas(default);
            assert_eq!(checked.is_ok(), allowed, "{replicas} {protocol} {word} {default:?}");
        }
    }
}
