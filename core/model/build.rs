//! Compiles `proto/*.proto` to Rust types, without `protoc`.

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
    prost_build::Config::new().default_package_filename("root").compile_fds(set)?;
    Ok(())
}
