//! `basalt user …`

use clap::{Subcommand, ValueEnum};
use hyper::Method;
use serde_json::{Value, json};

use super::{
    client::Client,
    error::CliError,
    model::User,
    password,
    report::{Report, table},
    resolve, user_token,
};

#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Make a user; the password is asked for, or read from standard input
    Create {
        /// A name that no other user or group has
        name: String,
        /// What it may do
        #[arg(long, default_value = "none")]
        role: UserRole,
    },
    /// List users and their roles
    List,
    /// Say what a user may do
    Role {
        /// Name or id
        user: String,
        role: UserRole,
    },
    /// Give a user a new password, asked for or read from standard input; its sessions end
    Password {
        /// Name or id
        user: String,
    },
    /// Delete a user; its sessions and tokens end
    Delete {
        /// Name or id
        user: String,
    },
    /// Long-lived tokens of users, for services
    #[command(subcommand)]
    Token(user_token::UserTokenCommand),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum UserRole {
    /// Sees and changes everything
    Admin,
    /// Sees everything, changes nothing
    Observer,
    /// Acts in the tenants that list it, nowhere else
    None,
}

/// Groups whose members have a role, by their ids (session.md §8).
const ROLES: [(UserRole, &str); 2] = [(UserRole::Admin, "512"), (UserRole::Observer, "515")];

/// New users belong to Users.
const USERS: &str = "513";

pub(crate) async fn run(client: &mut Client, command: UserCommand) -> Result<Report, CliError> {
    match command {
        UserCommand::Create { name, role } => create(client, &name, role).await,
        UserCommand::List => list(client).await,
        UserCommand::Role { user, role } => {
            let user = resolve::user(client, &user).await?;
            set_role(client, &user, role).await?;
            let json = json!({ "id": user.id, "name": user.name, "role": word(role) });
            Ok(Report::new(format!("user {} has the role {} now", user.name, word(role)), json))
        }
        UserCommand::Password { user } => {
            let user = resolve::user(client, &user).await?;
            let new = password::read(&user.name)?;
            let path = format!("/v1/users/{}/setpassword", user.id);
            client.call(Method::POST, &path, Some(json!({ "new_password": *new }))).await?;
            let json = json!({ "id": user.id, "name": user.name });
            Ok(Report::new(format!("user {} has a new password", user.name), json))
        }
        UserCommand::Delete { user } => {
            let user = resolve::user(client, &user).await?;
            client.call(Method::DELETE, &format!("/v1/users/{}", user.id), None).await?;
            let json = json!({ "deleted": user.id, "name": user.name });
            Ok(Report::new(format!("deleted user {}", user.name), json))
        }
        UserCommand::Token(command) => user_token::run(client, command).await,
    }
}

async fn create(client: &mut Client, name: &str, role: UserRole) -> Result<Report, CliError> {
    let password = password::read(name)?;
    let body = json!({ "name": name, "primary_group": USERS, "password": *password });
    let json = client.call(Method::POST, "/v1/users/", Some(body)).await?;
    let user: User = client.parse(json.clone())?;
    set_role(client, &user, role).await?;
    let text = format!(
        "made user {name}, {}, with the role {}\nnext: basalt login {name} prints a token",
        user.id,
        word(role)
    );
    Ok(Report::new(text, json))
}

/// Into the group of that role and out of the others.
async fn set_role(client: &mut Client, user: &User, role: UserRole) -> Result<(), CliError> {
    for (of_group, group) in ROLES {
        let members = members(client, group).await?;
        let (is_in, path) = (members.contains(&user.id), format!("/v1/groups/{group}/members"));
        if of_group == role && !is_in {
            client.call(Method::POST, &format!("{path}/"), Some(json!({ "member_id": user.id }))).await?;
        } else if of_group != role && is_in {
            client.call(Method::DELETE, &format!("{path}/{}", user.id), None).await?;
        }
    }
    Ok(())
}

async fn members(client: &mut Client, group: &str) -> Result<Vec<String>, CliError> {
    let users: Vec<User> = client.get(&format!("/v1/groups/{group}/members")).await?;
    Ok(users.into_iter().map(|user| user.id).collect())
}

async fn list(client: &mut Client) -> Result<Report, CliError> {
    let mut json: Value = client.get("/v1/users").await?;
    let users: Vec<User> = client.parse(json.clone())?;
    let mut roles = Vec::new();
    for (role, group) in ROLES {
        roles.push((role, members(client, group).await?));
    }
    let role_of = |user: &User| {
        let found = roles.iter().find(|(_, members)| members.contains(&user.id));
        word(found.map_or(UserRole::None, |(role, _)| *role))
    };
    for (user, entry) in users.iter().zip(json.as_array_mut().into_iter().flatten()) {
        entry["role"] = json!(role_of(user));
    }
    let rows = users.iter().map(|user| {
        let enabled = if user.can_change_password { "yes" } else { "no" };
        [user.name.clone(), role_of(user).to_owned(), enabled.to_owned(), user.id.clone()]
    });
    Ok(Report::new(table(["NAME", "ROLE", "ENABLED", "ID"], rows), json))
}

fn word(role: UserRole) -> &'static str {
    match role {
        UserRole::Admin => "admin",
        UserRole::Observer => "observer",
        UserRole::None => "none",
    }
}
