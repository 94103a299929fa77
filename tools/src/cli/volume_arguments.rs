//! What kind of volume is asked for: the flags of `volume create` and `placement explain`.

use clap::ValueEnum;
use serde_json::{Value, json};

use super::error::CliError;
use crate::size::{ByteSize, SizeError};

#[derive(Debug, clap::Args)]
pub(crate) struct VolumeArguments {
    /// Whole GiB, as in 10G or 2T
    size: ByteSize,
    /// Reserve the whole size now, so that no write can ever fail for space
    #[arg(long)]
    pub(super) thick: bool,
    /// Reserve this percentage of a thin volume [default: 10, and at least the server's floor]
    #[arg(long, value_name = "PERCENT", conflicts_with = "thick", value_parser = clap::value_parser!(u8).range(1..=100))]
    reserve: Option<u8>,
    /// Bytes per logical block: 512 or 4096
    #[arg(long, value_name = "BYTES", default_value = "4096", value_parser = ["512", "4096"])]
    block_size: String,
    /// Copies, each on another node
    #[arg(long, value_name = "COPIES", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=3))]
    replicas: u8,
    /// Who keeps several copies equal [default: as the server is configured]
    #[arg(long)]
    replication: Option<ReplicationArgument>,
    /// Two copies may be in one rack
    #[arg(long)]
    same_rack: bool,
    /// Only in these racks: RACK,RACK,…
    #[arg(long, value_name = "RACKS", value_delimiter = ',')]
    racks: Vec<String>,
    /// Only in these zones: ZONE,ZONE,…
    #[arg(long, value_name = "ZONES", value_delimiter = ',')]
    zones: Vec<String>,
    /// Only in these regions: REGION,REGION,…
    #[arg(long, value_name = "REGIONS", value_delimiter = ',')]
    regions: Vec<String>,
    /// On the node that is this host, too; of several copies one
    #[arg(long, value_name = "ID")]
    host_id: Option<String>,
    /// Reserve so many I/O per second for each GiB
    #[arg(long, value_name = "IOPS", default_value_t = 0, hide_default_value = true)]
    iops_per_gib: u64,
    /// Reserve so many bytes per second for each GiB, as in 1M
    #[arg(long, value_name = "BYTES", value_parser = rate, default_value = "0", hide_default_value = true)]
    bandwidth_per_gib: u64,
    /// Each copy on one drive
    #[arg(long)]
    no_span: bool,
    /// The name of its storage class
    #[arg(long, value_name = "NAME")]
    class: Option<String>,
    /// Not on a drive that has a volume of the same class
    #[arg(long, requires = "class")]
    own_drive: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ReplicationArgument {
    /// The storage nodes
    Target,
    /// The host, with md RAID 1
    Host,
}

impl VolumeArguments {
    /// The fields of a create request that say what kind of volume it is.
    pub(super) fn body(&self) -> Result<Value, CliError> {
        let block_size: u32 = self.block_size.parse().expect("one of the two that clap lets through");
        let replication = self.replication.map(|word| match word {
            ReplicationArgument::Target => "target",
            ReplicationArgument::Host => "host",
        });
        Ok(json!({
            "capacity": whole_gib(self.size)?,
            "provisioningType": if self.thick { "THICK" } else { "THIN" },
            "reservedSpacePercentage": self.reserve.unwrap_or(0),
            "storageClass": {
                "blockSize": block_size,
                "numReplicas": self.replicas,
                "replication": replication,
                "sameRackAllowed": self.same_rack,
                "racks": self.racks,
                "zones": self.zones,
                "regions": self.regions,
                "hostId": self.host_id,
                "desiredIOPSPerGB": self.iops_per_gib,
                "desiredBWPerGB": self.bandwidth_per_gib,
                "allowSpan": !self.no_span,
                "name": self.class,
                "shareSSDBetweenVolumes": !self.own_drive,
            },
        }))
    }
}

/// The API counts sizes in GiB (provisioner §1.5).
pub(super) fn whole_gib(size: ByteSize) -> Result<u64, CliError> {
    size.whole_gib().ok_or_else(|| {
        CliError::Usage(format!("{size} is not a whole number of GiB: volumes have sizes such as 10G or 2T"))
    })
}

/// Bytes per second as a size; unlike a size it may be 0.
pub(super) fn rate(text: &str) -> Result<u64, SizeError> {
    if text == "0" { Ok(0) } else { text.parse::<ByteSize>().map(|ByteSize(bytes)| bytes) }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        volume: VolumeArguments,
    }

    #[test]
    fn the_flags_are_the_contracts_fields() {
        let body = |line: &str| Line::parse_from(line.split(' ')).volume.body().expect(line);
        let plain = body("x 10G");
        assert_eq!((&plain["capacity"], &plain["provisioningType"]), (&json!(10), &json!("THIN")));
        assert_eq!(plain["storageClass"]["replication"], Value::Null);
        let all = body(
            "x 10G --thick --block-size 512 --replicas 2 --replication host --same-rack --racks a,b --zones z \
             --regions r --host-id h --iops-per-gib 5 --bandwidth-per-gib 1M --no-span --class gold --own-drive",
        );
        assert_eq!(all["provisioningType"], "THICK");
        let class = json!({"blockSize": 512, "numReplicas": 2, "replication": "host", "sameRackAllowed": true,
            "racks": ["a", "b"], "zones": ["z"], "regions": ["r"], "hostId": "h", "desiredIOPSPerGB": 5,
            "desiredBWPerGB": 1 << 20, "allowSpan": false, "name": "gold", "shareSSDBetweenVolumes": false});
        assert_eq!(all["storageClass"], class);
        assert!(Line::try_parse_from(["x", "10G", "--own-drive"]).is_err());
        assert!(Line::try_parse_from(["x", "10G", "--replicas", "4"]).is_err());
    }
}
