//! Calls and older endpoints that change an agent's resources: reservations and volumes. They become operations, which
//! the machine validates and applies.
//!
//! Texts: apache/mesos@c1b42f79:src/master/http.cpp and src/master/validation.cpp.

use crate::answer::parameter;
use api::json::FromJson as _;
use model::{
    mesos::{
        Resource,
        master::{Call, call::Type as Of},
        offer::{Operation, operation as kind},
    },
    resources::Resources,
};
use serde_json::Value;

/// An agent and what is to be made of its resources.
pub(super) type Change = (String, Operation);

fn of(r#type: kind::Type) -> Operation {
    Operation { r#type: Some(r#type.into()), ..Default::default() }
}

/// The operation that a call stands for; none for other calls.
pub(super) fn of_call(call: &mut Call) -> Option<Change> {
    Some(match call.r#type() {
        Of::ReserveResources => {
            let asked = call.reserve_resources.take()?;
            let reserve = kind::Reserve { source: asked.source, resources: asked.resources };
            (asked.agent_id.value, Operation { reserve: Some(reserve), ..of(kind::Type::Reserve) })
        }
        Of::UnreserveResources => {
            let asked = call.unreserve_resources.take()?;
            let unreserve = kind::Unreserve { resources: asked.resources };
            (asked.agent_id.value, Operation { unreserve: Some(unreserve), ..of(kind::Type::Unreserve) })
        }
        Of::CreateVolumes => {
            let asked = call.create_volumes.take()?;
            let create = kind::Create { volumes: asked.volumes };
            (asked.agent_id.value, Operation { create: Some(create), ..of(kind::Type::Create) })
        }
        Of::DestroyVolumes => {
            let asked = call.destroy_volumes.take()?;
            let destroy = kind::Destroy { volumes: asked.volumes };
            (asked.agent_id.value, Operation { destroy: Some(destroy), ..of(kind::Type::Destroy) })
        }
        Of::GrowVolume => {
            let asked = call.grow_volume.take()?;
            let grow_volume = Some(kind::GrowVolume { volume: asked.volume, addition: asked.addition });
            (asked.agent_id?.value, Operation { grow_volume, ..of(kind::Type::GrowVolume) })
        }
        Of::ShrinkVolume => {
            let asked = call.shrink_volume.take()?;
            let shrink_volume = Some(kind::ShrinkVolume { volume: asked.volume, subtract: asked.subtract });
            (asked.agent_id?.value, Operation { shrink_volume, ..of(kind::Type::ShrinkVolume) })
        }
        _ => return None,
    })
}

/// What is wrong with such a call, beside its payload being absent.
pub(super) fn fault(call: &Call) -> Option<String> {
    let resources = match call.r#type() {
        Of::ReserveResources => &call.reserve_resources.as_ref()?.resources,
        Of::UnreserveResources => &call.unreserve_resources.as_ref()?.resources,
        kind @ (Of::GrowVolume | Of::ShrinkVolume) => {
            let agent = match kind {
                Of::GrowVolume => &call.grow_volume.as_ref()?.agent_id,
                _ => &call.shrink_volume.as_ref()?.agent_id,
            };
            let why =
                "Expecting 'agent_id' to be present; only agent default resources are supported right now";
            return agent.is_none().then(|| why.to_owned());
        }
        _ => return None,
    };
    Resources::from_messages(resources).err().map(|invalid| invalid.to_string())
}

/// The operation that a form stands for, or what is wrong with the form.
pub(super) fn of_form(name: &str, form: &str) -> Result<Change, String> {
    let field = |key: &str| {
        parameter(Some(form), key)
            .ok_or_else(|| format!("Missing '{key}' query parameter in the request body"))
    };
    let agent = field("slaveId")?;
    let volumes = matches!(name, "create-volumes" | "destroy-volumes");
    let key = if volumes { "volumes" } else { "resources" };
    let what = if volumes || name == "unreserve" { "Error in parsing" } else { "Error parsing" };
    let listed = |key: &str, text: &str| {
        let read = || {
            let value = api::call::parse(text.as_bytes())?;
            let Value::Array(items) = value else { return Err("Unexpected JSON type parsed".to_owned()) };
            items.iter().map(Resource::from_json).collect()
        };
        read().map_err(|why| format!("{what} '{key}' query parameter in the request body: {why}"))
    };
    let resources: Vec<Resource> = listed(key, &field(key)?)?;
    let operation = match name {
        "reserve" => {
            let source = parameter(Some(form), "source").map(|text| listed("source", &text)).transpose()?;
            let reserve = kind::Reserve { source: source.unwrap_or_default(), resources };
            Operation { reserve: Some(reserve), ..of(kind::Type::Reserve) }
        }
        "unreserve" => {
            Operation { unreserve: Some(kind::Unreserve { resources }), ..of(kind::Type::Unreserve) }
        }
        "create-volumes" => {
            let create = kind::Create { volumes: resources };
            Operation { create: Some(create), ..of(kind::Type::Create) }
        }
        _ => {
            let destroy = kind::Destroy { volumes: resources };
            Operation { destroy: Some(destroy), ..of(kind::Type::Destroy) }
        }
    };
    Ok((agent, operation))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_say_what_they_lack() {
        let why = |name: &str, form: &str| of_form(name, form).unwrap_err();
        assert_eq!(why("reserve", ""), "Missing 'slaveId' query parameter in the request body");
        assert_eq!(why("reserve", "slaveId=a"), "Missing 'resources' query parameter in the request body");
        assert_eq!(
            why("create-volumes", "slaveId=a&resources=[]"),
            "Missing 'volumes' query parameter in the request body"
        );
        let bad = why("create-volumes", "slaveId=a&volumes={}");
        assert_eq!(
            bad,
            "Error in parsing 'volumes' query parameter in the request body: Unexpected JSON type parsed"
        );
        assert!(why("reserve", "slaveId=a&resources=[1]").starts_with("Error parsing 'resources' query"));
        let disk =
            "%5B%7B%22name%22:%22disk%22,%22type%22:%22SCALAR%22,%22scalar%22:%7B%22value%22:5%7D%7D%5D";
        let (agent, operation) = of_form("destroy-volumes", &format!("volumes={disk}&slaveId=S1")).unwrap();
        assert_eq!((agent.as_str(), operation.r#type()), ("S1", kind::Type::Destroy));
        assert_eq!(operation.destroy.unwrap().volumes[0].name, "disk");
    }

    #[test]
    fn volumes_grow_on_a_named_agent_alone() {
        let mut call = Call { grow_volume: Some(Default::default()), ..Default::default() };
        call.set_type(Of::GrowVolume);
        assert!(fault(&call).unwrap().starts_with("Expecting 'agent_id' to be present"));
        assert!(of_call(&mut call).is_none());
    }
}
