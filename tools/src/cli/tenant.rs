//! `basalt tenant …`

use clap::Subcommand;
use hyper::Method;
use serde_json::{Value, json};

use super::{
    client::{Client, encode},
    error::CliError,
    model::Tenant,
    report::{Report, table},
    resolve,
    volume_arguments::{rate, whole_gib},
};
use crate::size::{ByteSize, GIB};

#[derive(Debug, Subcommand)]
pub(crate) enum TenantCommand {
    /// Make a tenant, which has volumes of its own up to a budget; act for it with --tenant
    Create {
        /// A name that no other tenant has
        name: String,
        /// All that its volumes and snapshots may reserve together; whole GiB, as in 500G
        capacity: ByteSize,
        /// I/O per second that its volumes may reserve together [default: no limit]
        #[arg(long, default_value_t = 0, hide_default_value = true)]
        iops: u64,
        /// Bytes per second that its volumes may reserve together, as in 2G [default: no limit]
        #[arg(long, value_parser = rate, default_value = "0", hide_default_value = true)]
        bandwidth: u64,
        /// The id that stands in paths [default: a random UUID]
        #[arg(long)]
        id: Option<String>,
    },
    /// List tenants, and what each consumes of its budget
    List,
    /// Change a tenant's budget
    Set {
        /// Name, id or the beginning of an id
        #[arg(id = "changed", value_name = "TENANT")]
        tenant: String,
        #[command(flatten)]
        budget: BudgetArguments,
    },
    /// Delete a tenant that has no volumes and snapshots
    Delete {
        /// Name, id or the beginning of an id
        #[arg(id = "deleted", value_name = "TENANT")]
        tenant: String,
    },
}

/// What is not given stays.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = true)]
pub(crate) struct BudgetArguments {
    /// Whole GiB, as in 500G
    #[arg(long)]
    capacity: Option<ByteSize>,
    /// I/O per second; 0: no limit
    #[arg(long)]
    iops: Option<u64>,
    /// Bytes per second, as in 2G; 0: no limit
    #[arg(long, value_parser = rate)]
    bandwidth: Option<u64>,
}

pub(crate) async fn run(client: &mut Client, command: TenantCommand) -> Result<Report, CliError> {
    match command {
        TenantCommand::Create { name, capacity, iops, bandwidth, id } => {
            let body = json!({ "name": name, "tenantId": id, "capacity": whole_gib(capacity)?,
                "totalIOPS": iops, "totalBW": bandwidth });
            let json = client.call(Method::POST, "/tenants", Some(body)).await?;
            let id = json["tenantId"].as_str().unwrap_or_default();
            let text =
                format!("made tenant {name}, {id}\nnext: basalt --tenant {name} volume create NAME SIZE");
            Ok(Report::new(text, json))
        }
        TenantCommand::List => list(client).await,
        TenantCommand::Set { tenant, budget } => set(client, &tenant, budget).await,
        TenantCommand::Delete { tenant } => {
            let tenant = resolve::tenant(client, &tenant).await?;
            client.call(Method::DELETE, &path(&tenant), None).await?;
            let json = json!({ "deleted": tenant.tenant_id, "name": tenant.name });
            Ok(Report::new(format!("deleted tenant {}, {}", tenant.name, tenant.tenant_id), json))
        }
    }
}

fn path(tenant: &Tenant) -> String {
    format!("/tenants/{}", encode(&tenant.tenant_id))
}

async fn list(client: &mut Client) -> Result<Report, CliError> {
    let json: Value = client.get("/tenants").await?;
    let tenants: Vec<Tenant> = client.parse(json.clone())?;
    let rows = tenants.iter().map(|tenant| {
        [
            tenant.name.clone(),
            of(gib(tenant.consumed_capacity), &gib(tenant.capacity)),
            limited(tenant.consumed_iops, tenant.total_iops, |iops| iops.to_string()),
            limited(tenant.consumed_bw, tenant.total_bw, |bytes| format!("{}/s", ByteSize(bytes))),
            tenant.tenant_id.clone(),
        ]
    });
    Ok(Report::new(table(["NAME", "CAPACITY", "IOPS", "BANDWIDTH", "ID"], rows), json))
}

fn gib(gib: u64) -> String {
    ByteSize(gib.saturating_mul(GIB)).to_string()
}

fn of(consumed: String, budget: &str) -> String {
    format!("{consumed} of {budget}")
}

/// 0 is no limit.
fn limited(consumed: u64, budget: u64, text: impl Fn(u64) -> String) -> String {
    if budget == 0 { text(consumed) } else { of(text(consumed), &text(budget)) }
}

async fn set(client: &mut Client, text: &str, budget: BudgetArguments) -> Result<Report, CliError> {
    let tenant = resolve::tenant(client, text).await?;
    let body = json!({
        "capacity": budget.capacity.map(whole_gib).transpose()?.unwrap_or(tenant.capacity),
        "totalIOPS": budget.iops.unwrap_or(tenant.total_iops),
        "totalBW": budget.bandwidth.unwrap_or(tenant.total_bw),
    });
    let json = client.call(Method::PUT, &path(&tenant), Some(body)).await?;
    Ok(Report::new(format!("changed the budget of tenant {}", tenant.name), json))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_consumed_of_what() {
        assert_eq!(of(gib(3), &gib(1024)), "3 GiB of 1 TiB");
        assert_eq!(limited(5, 0, |n| n.to_string()), "5");
        assert_eq!(limited(5, 9, |n| n.to_string()), "5 of 9");
    }
}
