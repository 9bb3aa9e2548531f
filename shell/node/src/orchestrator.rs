//! `mesolite orchestrator`: a port, and who answers on it: this process while it leads, else the leader that it stands by.
//!
//! Never: how a leader works (`term`), nor how it is decided who leads (`store::election`).

mod settings;
mod standby;
mod subscription;
mod term;

use crate::{
    Running, Stop, address,
    flags::{Refused, Values},
};
use endpoints::orchestrator::Identity;
use model::request::Answer;
use standby::Standby;
use std::{path::PathBuf, sync::Arc, time::Duration};
use store::{Seat, Standing, StoreError};
use term::{Over, Reign, Setting, Term};
use tokio::{sync::watch, time::Instant};
use web::{Limits, Reply};

/// Between two looks whether the lead is free.
const STAND_AGAIN: Duration = Duration::from_millis(100);
/// Who stepped down leaves the lead to others for so long, which is several of their looks.
const ABDICATION: Duration = Duration::from_millis(500);
/// How long a request waits for a leader: 10 looks 250 ms apart, as upstream.
const LEADER_PATIENCE: Duration = Duration::from_millis(2500);
/// Before the lead is tried again whose state did not read.
const STATE_PATIENCE: Duration = Duration::from_secs(5);

/// Who answers.
#[derive(Clone)]
enum Role {
    /// Nobody is known to lead.
    Unknown,
    /// Another, at `host:port`.
    Follows(String),
    /// This process.
    Leads(Arc<Term>),
}

/// Starts an orchestrator; it serves when this returns, and leads or stands by.
pub async fn start(values: &Values, stop: Stop) -> anyhow::Result<Running> {
    let master = values.get("master").ok_or_else(|| Refused("--master=HOST:PORT is required".to_owned()))?;
    if !master.starts_with("https://") {
        address::resolve(master).await?;
    }
    let master = if master.contains("://") { master.to_owned() } else { format!("http://{master}") };
    let address = address::listen(values, "http_address", "http_port", 8080)?;
    let listener = web::bind(address, &values.flag("http_port")).await?;
    let address = address::advertised(values, listener.local_addr()?, None)?;
    let hostname = values.get("hostname").map_or_else(|| address.ip().to_string(), str::to_owned);
    let me = address::authority(&hostname, address.port());
    let config = settings::config(values, hostname, address.port())?;
    let who = Arc::new(Identity { leader: me.clone(), flags: values.all().clone() });
    let standby = Arc::new(Standby::new(&me, values)?);
    let dir = PathBuf::from(values.get("work_dir").unwrap_or("./mesolite-data/orchestrator"));
    let campaign = Campaign { dir, setting: Setting { config, master, who } };
    let first = campaign.first(values.on("ha")).await?;
    let role = first.as_ref().map_or(Role::Unknown, |(term, _)| Role::Leads(term.clone()));
    let (roles, role) = watch::channel(role);
    let campaign = tokio::spawn(campaign.run(first, roles, stop.clone()));
    let handler = move |incoming| answer(role.clone(), standby.clone(), incoming);
    let server = tokio::spawn(web::serve(listener, Limits::default(), stop, handler));
    tracing::info!(%address, "orchestrator serves");
    Ok(Running { address, tasks: vec![campaign, server], launcher: None, leave: None, over: None })
}

/// Answers as who leads, or by who leads. A request waits while that changes hands.
async fn answer(mut role: watch::Receiver<Role>, standby: Arc<Standby>, incoming: web::Incoming) -> Reply {
    if incoming.upload.is_some() {
        // a body that goes on for as long as its client likes is for masters and agents
        return Reply::Full(endpoints::render(Answer::text(415, "Unsupported Media Type")));
    }
    let patience = Instant::now() + LEADER_PATIENCE;
    loop {
        let now = role.borrow_and_update().clone();
        let known = match now {
            Role::Leads(term) => return term.answer(incoming).await,
            Role::Follows(leader) => match standby.pass(&leader, &incoming).await {
                Some(reply) => return reply,
                None => true,
            },
            Role::Unknown => false,
        };
        if !matches!(tokio::time::timeout_at(patience, role.changed()).await, Ok(Ok(()))) {
            return standby::no_leader(known);
        }
    }
}

/// A candidate for the lead of a directory, for as long as the process lives.
struct Campaign {
    dir: PathBuf,
    setting: Setting,
}

impl Campaign {
    /// The first try, whose troubles are those of the start. Without `ha` somebody else's lead is one.
    async fn first(&self, ha: bool) -> anyhow::Result<Option<(Arc<Term>, Reign)>> {
        if !ha {
            return Ok(Some(term::begin(store::lead(&self.dir)?, &self.setting)?));
        }
        store::prepare(&self.dir)?;
        match store::stand(&self.dir)? {
            Standing::Leads(seat) => Ok(Some(term::begin(seat, &self.setting)?)),
            Standing::Follows(_) => Ok(None),
        }
    }

    /// Leads and follows in turns until `stop` turns true.
    async fn run(self, mut term: Option<(Arc<Term>, Reign)>, roles: watch::Sender<Role>, mut stop: Stop) {
        loop {
            if let Some((term, mut reign)) = term.take() {
                tracing::info!(dir = %self.dir.display(), "this orchestrator leads");
                roles.send_replace(Role::Leads(term.clone()));
                let over = tokio::select! {
                    biased;
                    () = told(&mut stop) => None,
                    over = reign.over() => Some(over),
                };
                roles.send_replace(Role::Unknown);
                let abdicated = match over {
                    None => return reign.end(term, None).await,
                    Some(Over::Abdicated(abdicated)) => abdicated,
                    Some(Over::Lost) => {
                        tracing::error!(dir = %self.dir.display(), "the directory was moved away");
                        None
                    }
                };
                tracing::info!("this orchestrator steps down");
                reign.end(term, abdicated).await;
                if waited(&mut stop, ABDICATION).await {
                    return;
                }
            }
            let Some(seat) = self.stand_by(&roles, &mut stop).await else { return };
            match term::begin(seat, &self.setting) {
                Ok(begun) => term = Some(begun),
                Err(error) => {
                    tracing::error!(
                        error = format!("{error:#}"),
                        "this orchestrator can't lead; it tries again"
                    );
                    if waited(&mut stop, STATE_PATIENCE).await {
                        return;
                    }
                }
            }
        }
    }

    /// Follows until the lead is free; none = told to stop.
    async fn stand_by(&self, roles: &watch::Sender<Role>, stop: &mut Stop) -> Option<Seat> {
        let mut trouble: Option<StoreError> = None;
        loop {
            match store::stand(&self.dir) {
                Ok(Standing::Leads(seat)) => return Some(seat),
                Ok(Standing::Follows(leader)) => {
                    let address = leader.address.filter(|address| *address != self.setting.who.leader);
                    follow(roles, address);
                }
                Err(error) if trouble.as_ref() != Some(&error) => {
                    tracing::error!(%error, "whether the lead is free can't be seen; it is tried again");
                    trouble = Some(error);
                }
                Err(_) => {}
            }
            if waited(stop, STAND_AGAIN).await {
                return None;
            }
        }
    }
}

/// Waits for the word to stop, or until nobody is left to say it.
async fn told(stop: &mut Stop) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        tracing::debug!("nobody can say any more when to stop");
    }
}

/// Waits for a while; true if told to stop meanwhile.
async fn waited(stop: &mut Stop, most: Duration) -> bool {
    tokio::time::timeout(most, told(stop)).await.is_ok()
}

fn follow(roles: &watch::Sender<Role>, leader: Option<String>) {
    roles.send_if_modified(|role| {
        let changed = match (&*role, &leader) {
            (Role::Unknown, None) => false,
            (Role::Follows(known), Some(leader)) => known != leader,
            _ => true,
        };
        if changed {
            if let Some(leader) = &leader {
                tracing::info!(
                    leader,
                    "another orchestrator leads; this one stands by and passes requests on"
                );
            }
            *role = leader.map_or(Role::Unknown, Role::Follows);
        }
        changed
    });
}
