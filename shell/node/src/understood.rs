//! Whether a role would take a command line, as far as that can be told without the world: every text in it is read.
//!
//! Never: starts anything, nor reads what the machine has but for its size.

use crate::{
    ROLES, agent, allocation, closed,
    flags::{Refused, Values},
    levels,
    machine::{self, Share},
    master,
};
use std::path::Path;

/// What is wrong with the arguments of a role, in the words that people are shown; `role` is its name.
pub fn understood(role: &str, arguments: &[String]) -> Result<(), String> {
    let table = ROLES.into_iter().find(|table| table.role == role);
    let table = table.ok_or_else(|| format!("'{role}' is no role"))?;
    table.refuse_unknown(arguments).map_err(|refused| refused.0)?;
    let argv = std::iter::once(role.to_owned()).chain(arguments.iter().cloned());
    let matches = table.command().try_get_matches_from(argv).map_err(|error| error.to_string())?;
    let values = table.values(&matches).map_err(|refused| refused.0)?;
    levels::read("--logging_level", values.get("logging_level").unwrap_or("info")).map_err(|r| r.0)?;
    let read = match role {
        "master" => of_master(&values),
        "agent" => of_agent(&values),
        _ => Ok(()),
    };
    read.map_err(|error| format!("{error:#}"))
}

fn of_master(values: &Values) -> anyhow::Result<()> {
    closed::firewall(values, "master")?;
    allocation::options(values)?;
    allocation::domain(values)?;
    master::weights(values.get("weights").unwrap_or_default())?;
    Ok(())
}

fn of_agent(values: &Values) -> anyhow::Result<()> {
    closed::firewall(values, "slave(1)")?;
    let told = values.get("resources").unwrap_or_default();
    let default_role = values.get("default_role").unwrap_or("*");
    let share = Share::read(values.get(agent::SHARE));
    machine::resources(told, default_role, Path::new("/"), share).map_err(Refused)?;
    machine::attributes(values.get("attributes").unwrap_or_default()).map_err(Refused)?;
    machine::environment(values.get("executor_environment_variables")).map_err(Refused)?;
    allocation::domain(values)?;
    agent::keep(values)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::understood;

    fn with(role: &str, argument: &str) -> Result<(), String> {
        understood(role, &[argument.to_owned()])
    }

    #[test]
    fn what_a_role_would_refuse_is_named() {
        assert_eq!(with("master", "--weights=ads=2"), Ok(()));
        assert!(with("master", "--weights=ads=-1").unwrap_err().contains("'-1' of role 'ads'"));
        assert!(with("agent", "--attributes=rack").unwrap_err().contains("'rack' is not name:value"));
        assert!(with("agent", "--gc_disk_headroom=2").unwrap_err().contains("from 0 to 1"));
        assert!(with("agent", "--modules=x").unwrap_err().contains("does not take --modules"));
        assert!(with("cook", "").is_err());
    }
}
