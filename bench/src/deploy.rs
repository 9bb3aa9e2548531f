//! A4: deployments on simulated agents: one app of many instances, its rolling upgrade, many apps in one PUT; and how the
//! time grows with the number. A round counts only if all instances ran, an upgrade never went below the number that it
//! has to keep, and nothing was left to be done.

use crate::{
    Figure, Options, Size,
    daemon::{Cores, Daemon},
    fleet::Fleet,
    report::Target,
};
use http::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use web::client::Client;

const AGENTS: usize = 100;
const INSTANCES: usize = 10_000;
/// The instances of the curve.
const CURVE: [usize; 4] = [1_000, 3_000, 10_000, 30_000];
const APPS: usize = 10_000;
const ROUNDS: usize = 3;
const PATIENCE: Duration = Duration::from_secs(900);
const LOOK: Duration = Duration::from_millis(20);

/// A4.
pub fn deployments(options: &Options) -> Result<Vec<Figure>, String> {
    Cores::measure(async |cores| rows(options, cores).await)
}

async fn rows(options: &Options, cores: &Cores) -> Result<Vec<Figure>, String> {
    let (instances, apps) = (options.count(INSTANCES, 20), options.count(APPS, 20));
    let (mut scaled, mut upgraded, mut grouped) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..options.rounds(ROUNDS) {
        let site = Site::start(options, cores).await?;
        scaled.push(site.scale("/one", instances).await?);
        upgraded.push(site.upgrade("/one", instances).await?);
        drop(site);
        let site = Site::start(options, cores).await?;
        grouped.push(site.group(apps, 1).await?);
        eprintln!(
            "   {instances} instances {scaled:.2?} s, upgraded {upgraded:.2?} s; {apps} apps {grouped:.2?} s"
        );
    }
    let mut figures = vec![
        Figure::plain(format!("one app to {instances} instances"), "s", scaled, Target::AtMost(5.0)),
        Figure::plain(format!("rolling upgrade of {instances}"), "s", upgraded, Target::None),
        Figure::plain(format!("{apps} apps of one instance in one PUT"), "s", grouped, Target::AtMost(30.0)),
    ];
    if options.size == Size::Full {
        let mut curve = Vec::new();
        for instances in CURVE {
            let site = Site::start(options, cores).await?;
            curve.push((instances, site.scale("/one", instances).await?));
        }
        for (instances, seconds) in &curve {
            let each = seconds / *instances as f64 * 1e6;
            figures.push(Figure::plain(
                format!("each of {instances} instances"),
                "us",
                vec![each],
                Target::None,
            ));
        }
        if let [first, .., last] = curve[..] {
            let exponent = (last.1 / first.1).ln() / (last.0 as f64 / first.0 as f64).ln();
            figures.push(Figure::plain(
                format!("growth exponent, {} to {}", first.0, last.0),
                "",
                vec![exponent],
                Target::AtMost(1.1),
            ));
        }
    }
    Ok(figures)
}

/// A cluster without real tasks.
pub(crate) struct Site {
    daemon: Daemon,
    _fleet: Fleet,
    client: Client,
}

impl Site {
    pub(crate) async fn start(options: &Options, cores: &Cores) -> Result<Self, String> {
        let daemon = Daemon::control(&options.binary, &cores.server)?;
        let agents = options.count(AGENTS, 3);
        let fleet = Fleet::start(agents, &daemon.master).await?;
        let site = Self { daemon, _fleet: fleet, client: Client::default() };
        let master = format!("http://{}/metrics/snapshot", site.daemon.master);
        site.until("all agents are registered", async || {
            let metrics: Value = site.client.get(&master).await.map_err(|e| e.to_string())?;
            Ok(metrics["master/slaves_active"].as_f64() == Some(agents as f64))
        })
        .await?;
        Ok(site)
    }

    async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, String> {
        self.client.json(method, &self.url(path), body).await.map_err(|e| e.to_string())
    }

    async fn until(
        &self,
        what: &str,
        mut done: impl AsyncFnMut() -> Result<bool, String>,
    ) -> Result<(), String> {
        let begun = Instant::now();
        while !done().await? {
            if begun.elapsed() > PATIENCE {
                return Err(format!("{what}: not within {PATIENCE:?}: {}", self.daemon.logged()));
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    /// Until no deployment is left; what `look` sees meanwhile must hold.
    pub(crate) async fn deployed(
        &self,
        mut look: impl AsyncFnMut() -> Result<(), String>,
    ) -> Result<(), String> {
        self.until("the deployment ends", async || {
            look().await?;
            let left = self.ask(Method::GET, "/v2/deployments", None).await?;
            Ok(left.as_array().is_some_and(Vec::is_empty))
        })
        .await
    }

    async fn running(&self, id: &str) -> Result<usize, String> {
        let said = self.ask(Method::GET, &format!("/v2/apps{id}"), None).await?;
        said["app"]["tasksRunning"].as_u64().map(|n| n as usize).ok_or(format!("no app in {said}"))
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.daemon.marathon)
    }

    /// `host:port` of the orchestrator.
    pub(crate) fn host(&self) -> &str {
        &self.daemon.marathon
    }

    /// What it says under a path.
    pub(crate) async fn get(&self, path: &str) -> Result<Value, String> {
        self.ask(Method::GET, path, None).await
    }

    /// Changes one of the apps of `group`.
    pub(crate) async fn change(&self, app: usize, fields: Value) -> Result<(), String> {
        self.ask(Method::PUT, &format!("/v2/apps/many/a{app}?force=true"), Some(&fields)).await.map(drop)
    }

    /// Seconds from the POST to the end of the deployment.
    pub(crate) async fn scale(&self, id: &str, instances: usize) -> Result<f64, String> {
        let begun = Instant::now();
        self.ask(Method::POST, "/v2/apps", Some(&app(id, instances, 1))).await?;
        self.deployed(async || Ok(())).await?;
        let took = begun.elapsed().as_secs_f64();
        let running = self.running(id).await?;
        if running == instances { Ok(took) } else { Err(format!("{running} of {instances} instances run")) }
    }

    /// Seconds that another version takes, beside the old one until it runs.
    pub(crate) async fn upgrade(&self, id: &str, instances: usize) -> Result<f64, String> {
        let begun = Instant::now();
        let put = format!("/v2/apps{id}");
        self.ask(Method::PUT, &put, Some(&app(id, instances, 2))).await?;
        self.deployed(async || {
            let running = self.running(id).await?;
            if running < instances {
                return Err(format!("{running} of {instances} instances run during the upgrade"));
            }
            Ok(())
        })
        .await?;
        let took = begun.elapsed().as_secs_f64();
        let running = self.running(id).await?;
        if running == instances { Ok(took) } else { Err(format!("{running} of {instances} instances run")) }
    }

    /// Seconds from the PUT of a group of apps until all their instances run.
    pub(crate) async fn group(&self, count: usize, instances: usize) -> Result<f64, String> {
        let apps: Vec<Value> = (0..count).map(|n| app(&format!("/many/a{n}"), instances, 1)).collect();
        let begun = Instant::now();
        self.ask(
            Method::PUT,
            "/v2/groups",
            Some(&json!({ "id": "/", "groups": [{ "id": "/many", "apps": apps }] })),
        )
        .await?;
        self.deployed(async || Ok(())).await?;
        let took = begun.elapsed().as_secs_f64();
        let said = self.ask(Method::GET, "/v2/tasks", None).await?;
        let tasks = said["tasks"].as_array().into_iter().flatten();
        let running = tasks.filter(|t| t["state"] == "TASK_RUNNING").count();
        let all = count * instances;
        if running == all { Ok(took) } else { Err(format!("{running} of {all} instances run")) }
    }
}

/// A small app without ports.
pub(crate) fn app(id: &str, instances: usize, version: u32) -> Value {
    json!({
        "id": id, "cmd": "sleep 1000", "cpus": 0.01, "mem": 1, "instances": instances, "portDefinitions": [],
        "env": { "VERSION": version.to_string() },
    })
}
