//! Compiles `proto/*.proto` to Rust types, without `protoc`.

/// Large messages that are absent for the most part: inline they would make a scalar resource 1.2 KiB and a task of three
/// 6 KiB; so they are 0.3 and 1.2.
const BOXED: [&str; 10] = [
    ".mesos.Resource.disk",
    ".mesos.Resource.reservation",
    ".mesos.Task.container",
    ".mesos.Task.discovery",
    ".mesos.Task.health_check",
    ".mesos.TaskInfo.container",
    ".mesos.TaskInfo.discovery",
    ".mesos.TaskInfo.health_check",
    ".mesos.ExecutorInfo.container",
    ".mesos.ExecutorInfo.discovery",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = [
        "mesos.proto",
        "scheduler.proto",
        "executor.proto",
        "quota.proto",
        "maintenance.proto",
        "allocator.proto",
        "master.proto",
        "agent.proto",
        "internal.proto",
    ];
    println!("cargo:rerun-if-changed=proto");
    let set = protox::compile(files, ["proto"])?;
    let mut config = prost_build::Config::new();
    for field in BOXED {
        config.boxed(field);
    }
    config.default_package_filename("root").compile_fds(set)?;
    Ok(())
}
