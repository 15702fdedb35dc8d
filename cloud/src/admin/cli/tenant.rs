//! Commands about tenants.

use clap::Subcommand;
use postern_proto::wire::admin as wire;

use super::{AdminError, Done, Session};

#[derive(Debug, Subcommand)]
pub(super) enum TenantCommand {
    /// Makes a tenant.
    Create {
        /// Its short name in addresses: lower-case letters, digits and hyphens.
        name: String,
        /// Tells users that the directory has locked their account.
        #[arg(long)]
        tell_locked: bool,
    },
    /// Lists all tenants.
    List,
    /// Changes what is given and leaves the rest.
    Update {
        /// Its name.
        name: String,
        /// Whether users are told that the directory has locked their account: true or false.
        #[arg(long)]
        tell_locked: Option<bool>,
        /// Lets users sign in with an alternate id as well: the directory's attribute that these are
        /// values of, such as mail. They come with the users, by import.
        #[arg(long, value_name = "ATTRIBUTE", conflicts_with = "no_alternate_id")]
        alternate_id: Option<String>,
        /// Lets nobody sign in with an alternate id.
        #[arg(long)]
        no_alternate_id: bool,
    },
    /// Deletes a tenant with everything that belongs to it. The sign-in log stays.
    Delete {
        /// Its name.
        name: String,
        /// Really.
        #[arg(long)]
        yes: bool,
    },
}

impl Session<'_> {
    pub(super) async fn tenant(&mut self, command: TenantCommand) -> Done {
        match command {
            TenantCommand::Create { name, tell_locked } => {
                let request = wire::CreateTenantRequest { name, tell_locked };
                let made = self.client.create_tenant(request).await?.into_inner();
                Ok(self.out.one(&made)?)
            }
            TenantCommand::List => {
                let all = self.client.list_tenants(wire::ListTenantsRequest {}).await?;
                Ok(self.out.all(&all.into_inner().tenants)?)
            }
            TenantCommand::Update {
                name,
                tell_locked,
                alternate_id,
                no_alternate_id,
            } => {
                let request = wire::UpdateTenantRequest {
                    tenant: name,
                    tell_locked,
                    alternate_id_attribute: alternate_id.or_else(|| no_alternate_id.then(String::new)),
                };
                let changed = self.client.update_tenant(request).await?.into_inner();
                Ok(self.out.one(&changed)?)
            }
            TenantCommand::Delete { yes: false, .. } => Err(AdminError::NotConfirmed),
            TenantCommand::Delete { name, yes: true } => {
                self.client
                    .delete_tenant(wire::DeleteTenantRequest { tenant: name.clone() })
                    .await?;
                Ok(self.out.deleted("tenant", &name)?)
            }
        }
    }
}
