//! Commands beside what runs in a container: in its namespaces, its groups and its sandbox, ended with all they began.

use super::{Shared, children::Child, start};
use linux::{
    process::{self, Status},
    spawn,
};
use model::container::{ContainerId, Program};
use std::{fs, sync::mpsc::channel, time::Duration};

/// What is to run.
pub struct Order {
    pub container: ContainerId,
    pub program: Program,
    pub environment: Vec<(String, String)>,
    pub user: Option<String>,
}

/// Runs it; none = it did not end in time.
pub fn execute(shared: &Shared, order: &Order, timeout: Duration) -> Result<Option<i32>, String> {
    let prepared = prepare(shared, order)?;
    let (tell, ended) = channel();
    let newborn = shared.begin(&prepared, Child::Helper(tell)).map_err(|e| e.to_string())?;
    let mut started = shared.go(newborn).map_err(|e| e.to_string())?;
    match ended.recv_timeout(timeout).map(|seen| started.outcome(seen)) {
        Ok(Status::Exited(code)) => Ok(Some(code)),
        Ok(Status::Signaled(signal)) => Ok(Some(128 + signal)),
        Err(_) => {
            // Its end may be taken at this very moment: while we hold the children, its number stays its own.
            let children = shared.children();
            if children.has(started.pid) {
                let tree = process::tree(started.pid);
                // What stands before it ends with it and takes along what it left.
                for pid in tree.iter().filter(|pid| tree.len() == 1 || **pid != started.pid) {
                    process::signal(*pid, 9);
                }
            }
            Ok(None)
        }
    }
}

fn prepare(shared: &Shared, order: &Order) -> Result<spawn::Order, String> {
    let state = shared.lock();
    let container = state.running.get(&order.container).ok_or("the container is gone")?;
    let user = order.user.as_deref().map(process::user).transpose()?.filter(|_| process::is_root());
    let null = || fs::OpenOptions::new().write(true).open("/dev/null").map_err(|e| e.to_string());
    let sandbox = if container.sandbox.is_empty() { "/" } else { container.sandbox.as_str() };
    let prepared = start::order(&order.program, &order.environment, sandbox, user, null()?, null()?)?;
    let enter = if container.fronted && !container.keeper {
        spawn::namespaces_of(container.pid).map_err(|e| e.to_string())?
    } else {
        Vec::new()
    };
    let groups = state.cgroups.as_ref().filter(|c| c.exists(&order.container.0));
    let cgroups = groups.map_or(Ok(Vec::new()), |c| c.join(&order.container.0)).map_err(|e| e.to_string())?;
    Ok(spawn::Order { keeper: enter.is_empty(), file_limit: state.file_limit, enter, cgroups, ..prepared })
}
